"""Print the block `resolved` of a dataset or of start weights in a mounted folder, for a server that does not mount it.

python -m service.ingest FOLDER '{"kind": "torchvision", "name": "MNIST"}'
python -m service.ingest FOLDER '{"mounted": "resnet18.safetensors"}'
"""

import json
import sys
from pathlib import Path
from typing import Any

from service.errors import Invalid
from service.ingest.mounted import describe
from service.ingest.weights.mounted import describe_weights
from service.spec.component import Part
from service.spec.datasets.images import ImageFolder
from service.spec.datasets.mounted import HuggingFace, MountedBase, TorchvisionSet
from service.spec.datasets.text import TokenFiles
from service.spec.parse.document import validate
from service.spec.start_weights import StartWeights

KINDS: dict[Any, type[MountedBase]] = {
    "torchvision": TorchvisionSet,
    "huggingface": HuggingFace,
    "image_folder": ImageFolder,
    "token_files": TokenFiles,
}


def main() -> None:
    """Print the block, or what is wrong."""
    folder, document = Path(sys.argv[1]), json.loads(sys.argv[2])
    try:
        if "mounted" in document:
            found: Part = describe_weights(folder, validate(StartWeights, document), None)
        else:
            found = describe(folder, validate(KINDS[document.get("kind")], document))
    except Invalid as error:
        sys.exit("\n".join(f"saddle: {problem.pointer}: {problem.detail}" for problem in error.problems))
    sys.stdout.write(found.model_dump_json(indent=1) + "\n")


if __name__ == "__main__":
    main()
