"""Refusing a file: one problem that says what and where, never what the file holds."""

from service.errors import Invalid, Problem
from service.spec.validation_errors import sanitise

MAX_COLUMNS = 10_000
MAX_ROWS = 10**8
MAX_ROW_BYTES = 2**24
MAX_NAME = 200


def refused(code: str, detail: str, limit: int | None = None) -> Invalid:
    """The body as a whole is what is wrong."""
    return Invalid.of([Problem("", code, sanitise(detail), limit)])


def check_names(names: list[str]) -> None:
    """Column names that a spec can repeat: some, not too many, each once, readable."""
    if not names:
        raise refused("no_columns", "the file has no columns.")
    if len(names) > MAX_COLUMNS:
        raise refused("too_many_columns", f"{len(names)} columns; at most {MAX_COLUMNS}.", MAX_COLUMNS)
    seen: set[str] = set()
    for position, name in enumerate(names, 1):
        if not name.strip():
            raise refused("unnamed_column", f"column {position} has no name.")
        if len(name) > MAX_NAME or not name.isprintable():
            detail = f"the name of column {position} is longer than {MAX_NAME} characters, or cannot be printed."
            raise refused("bad_column_name", detail, MAX_NAME)
        if name in seen:
            raise refused(
                "repeated_column", f"two columns are called {name}: the second is column {position}; rename one."
            )
        seen.add(name)


def check_rows(rows: int) -> None:
    """Not more rows than anybody trains on here."""
    if rows > MAX_ROWS:
        raise refused("too_many_rows", f"more than {MAX_ROWS} rows.", MAX_ROWS)
