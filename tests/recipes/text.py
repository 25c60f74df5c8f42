"""The recipe examples/text against the same GPT in plain PyTorch: `python -m tests.recipes.text`, four minutes."""

from examples.text.corpus import corpus
from tests.recipes.side_by_side import compare

if __name__ == "__main__":
    compare("text", "corpus.txt", corpus().encode(), "val/bits_per_byte", "bits_per_byte")
