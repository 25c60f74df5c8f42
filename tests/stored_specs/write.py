"""Store today's reading of a spec for good: `python -m tests.stored_specs.write NAME < posted.json`.

An existing file is never changed: it stands for what is in people's databases.
"""

import json
import sys
from pathlib import Path
from typing import Any

from service.spec.parse.experiment import parse_experiment

FOLDER = Path(__file__).parent / "written"


def stored(document: Any) -> dict[str, Any]:
    """What the database keeps of a posted document."""
    spec = parse_experiment(document).spec
    return {"hash": spec.hash, "spec": spec.normalised()}


def main() -> None:
    """Write one file; refuse where it is there."""
    with (FOLDER / f"{sys.argv[1]}.json").open("x") as file:
        json.dump(stored(json.load(sys.stdin)), file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
