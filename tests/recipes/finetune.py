"""The recipe examples/finetune against its plain loop: `python -m tests.recipes.finetune`, a minute."""

from examples.finetune.digits import files
from tests.recipes.side_by_side import compare

if __name__ == "__main__":
    made = files()
    compare("finetune", "few.npz", made.few, "val/accuracy", "accuracy", ("pretrain.npz", made.pretrain))
