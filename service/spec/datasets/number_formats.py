"""How tables write numbers: the decimal mark, and the separator of thousands."""

import re
from collections.abc import Iterable
from decimal import Decimal

_GROUPED = r"^[+-]?([0-9]+|[1-9][0-9]{{0,2}}(\{0}[0-9]{{3}})+)?({1}[0-9]+)?$"
WITH_COMMA, WITH_POINT = _GROUPED.format(".", ","), _GROUPED.format(",", r"\.")  # by the mark of their decimals
DIVIDERS = "[\u00a0\u202f'\u2019]"  # in French and Swiss tables
WITH_DIVIDERS = f"^[+-]?[1-9][0-9]{{0,2}}({DIVIDERS}[0-9]{{3}})+([.,][0-9]+)?$"
WHOLE_WITH_POINTS = r"^[+-]?([0-9]+|[1-9][0-9]{0,2}(\.[0-9]{3})+)$"


def parse_numbers(names: Iterable[str]) -> dict[str, Decimal]:
    """Return the number that each class of a numeric column is; the separator of thousands is found as in its cells."""
    plain = {name: re.sub(DIVIDERS, "", name) for name in names}
    fits = [all(re.match(way, cell) for cell in plain.values()) for way in (WITH_COMMA, WITH_POINT)]
    divider = (".", ",")[fits.index(True)] if fits[0] != fits[1] else ""
    return {name: _size(cell.replace(divider, "") if divider else cell) for name, cell in plain.items()}


def _size(cell: str) -> Decimal:
    return Decimal({"false": "0", "true": "1"}.get(cell, cell.replace(",", ".")))
