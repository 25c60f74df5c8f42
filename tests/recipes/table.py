"""The recipe examples/table against scikit-learn and plain PyTorch: `python -m tests.recipes.table`, a minute."""

from examples.table.table import customers
from tests.recipes.side_by_side import compare

if __name__ == "__main__":
    compare("table", "customers.csv", customers().to_csv(index=False).encode(), "val/f1_macro", "f1")
