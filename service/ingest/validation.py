"""Limits of uploaded files, and the problem that refuses one: it says what and where, never what the file holds."""

from dataclasses import dataclass

from service.errors import Invalid, Problem
from service.spec.validation_errors import sanitise

MAX_COLUMNS = 10_000
MAX_ROWS = 10**8
MAX_ROW_BYTES = 2**24
MAX_NAME = 200  # characters


@dataclass(frozen=True)
class SizeLimits:
    """How much one file may hold once it is unpacked; checked before it is unpacked where its header tells."""

    unpacked_bytes: int = 2**33
    cells: int = 2**30  # rows x columns, or the values of all arrays

    def check(self, cells: int, unpacked_bytes: int) -> None:
        """Raise `Invalid` where the file holds, or claims to hold, more."""
        if cells > self.cells:
            detail = (
                f"the file has more than {self.cells} cells (rows x columns): leave out columns, or upload it in parts"
            )
            raise invalid_file("too_many_cells", f"{detail} (the server's limit SADDLE_READ_CELLS).", self.cells)
        if unpacked_bytes > self.unpacked_bytes:
            detail = f"the file takes more than {self.unpacked_bytes} bytes once it is unpacked: upload it in parts"
            raise invalid_file("too_large", f"{detail} (the server's limit SADDLE_READ_BYTES).", self.unpacked_bytes)


def invalid_file(code: str, detail: str, limit: int | None = None) -> Invalid:
    """Return the problem of a whole file."""
    return Invalid.of([Problem("", code, sanitise(detail), limit)])


def check_names(names: list[str]) -> None:
    """Raise `Invalid` unless a spec can repeat the column names: some, not too many, each once, printable."""
    if not names:
        raise invalid_file("no_columns", "the file has no columns.")
    check_columns(len(names))
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


def check_columns(columns: int) -> None:
    """Raise `Invalid` for more columns than a file may have."""
    if columns > MAX_COLUMNS:
        raise invalid_file("too_many_columns", f"{columns} columns; at most {MAX_COLUMNS}.", MAX_COLUMNS)


def check_rows(rows: int) -> None:
    """Raise `Invalid` for more rows than a file may have."""
    if rows > MAX_ROWS:
        raise invalid_file("too_many_rows", f"more than {MAX_ROWS} rows.", MAX_ROWS)
