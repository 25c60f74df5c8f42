"""Write a text that every machine has: Python's own documentation of its language, 0.5 MB, from the standard library.

python examples/text/corpus.py > corpus.txt
"""

import sys
from pydoc_data.topics import topics


def corpus() -> str:
    """Return the topics one after the other, by name."""
    return "\n\n".join(topics[name] for name in sorted(topics))


if __name__ == "__main__":
    sys.stdout.write(corpus())
