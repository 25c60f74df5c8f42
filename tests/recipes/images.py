"""The recipe examples/images against torchvision and plain PyTorch: `python -m tests.recipes.images`, two minutes."""

from examples.images.pictures import archive
from tests.recipes.side_by_side import compare

if __name__ == "__main__":
    compare("images", "digits.zip", archive(), "val/accuracy", "accuracy")
