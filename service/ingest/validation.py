"""Limits of uploaded files, and the problem that refuses one: it says what and where, never what the file holds."""

from service.errors import Invalid, Problem
from service.spec.validation_errors import sanitise

MAX_COLUMNS = 10_000
MAX_ROWS = 10**8
MAX_ROW_BYTES = 2**24
MAX_NAME = 200  # characters


def invalid_file(code: str, detail: str, limit: int | None = None) -> Invalid:
    """Return the problem of a whole file."""
    return Invalid.of([Problem("", code, sanitise(detail), limit)])


def check_names(names: list[str]) -> None:
    """Raise `Invalid` unless a spec can repeat the column names: some, not too many, each once, printable."""
    if not names:
        raise invalid_file("no_columns", "the file has no columns.")
    if len(names) > MAX_COLUMNS:
        raise invalid_file("too_many_columns", f"{len(names)} columns; at most {MAX_COLUMNS}.", MAX_COLUMNS)
    seen: set[str] = set()
    for position, name in enumerate(names, 1):
        if not name.strip():
            raise invalid_file("unnamed_column", f"column {position} has no name.")
        if len(name) > MAX_NAME or not name.isprintable():
            detail = f"the name of column {position} is longer than {MAX_NAME} characters, or cannot be printed."
            raise invalid_file("bad_column_name", detail, MAX_NAME)
        if name in seen:
            detail = f"two columns are called {name}: the second is column {position}; rename one."
            raise invalid_file("repeated_column", detail)
        seen.add(name)


def check_rows(rows: int) -> None:
    """Raise `Invalid` for more rows than a file may have."""
    if rows > MAX_ROWS:
        raise invalid_file("too_many_rows", f"more than {MAX_ROWS} rows.", MAX_ROWS)
