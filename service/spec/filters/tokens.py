"""The tokens of a filter and the column of each: names, numbers, quoted texts, operators."""

import re
from dataclasses import dataclass
from typing import Literal

from service.errors import Invalid, Problem

Kind = Literal["word", "text", "operator", "end"]
PATTERN = re.compile(
    r"""\s*(?:(?P<word>[^\W\d][\w.:/+%-]*|[-+]?[\d.][\w.:+-]*)
    |"(?P<double>(?:[^"]|"")*)"|'(?P<single>(?:[^']|'')*)'
    |(?P<operator><=|>=|!=|[=<>~(),]))""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Token:
    """A token. `column` counts characters from 1."""

    kind: Kind
    text: str
    column: int

    def keyword(self) -> str:
        """Return the word in capitals if it may be a keyword, which a quoted one never is."""
        return self.text.upper() if self.kind == "word" else self.text if self.kind == "operator" else ""


def filter_error(
    column: int, detail: str, expected: list[str], near: str | None = None, parameter: str = "filter"
) -> Invalid:
    """Return the error about a filter at `column`."""
    told = f"column {column}: {detail}"
    return Invalid.of([Problem(f"/query/{parameter}", "filter", told, expected or None, near, column=column)])


def tokenise(source: str) -> list[Token]:
    """Return all tokens of a filter, ending with one of the kind `end`."""
    found, at = [], 0
    while at < len(source.rstrip()):
        match = PATTERN.match(source, at)
        if match is None:
            column = at + len(source[at:]) - len(source[at:].lstrip()) + 1
            quote = source[column - 1] in "\"'"
            detail = "this quotation has no end." if quote else "this character has no meaning here."
            raise filter_error(column, detail, ["a name", "a value", "(", "NOT"])
        group = match.lastgroup or ""
        kind: Kind = "text" if group in ("double", "single") else "operator" if group == "operator" else "word"
        start = match.start(group) + (0 if kind != "text" else -1)
        found.append(Token(kind, _unquoted(match[group], group), start + 1))
        at = match.end()
    return [*found, Token("end", "", len(source) + 1)]


def _unquoted(text: str, group: str) -> str:
    """Return the text between quotation marks, where a doubled mark stands for one, as in SQL."""
    quote = {"double": '"', "single": "'"}.get(group)
    return text.replace(quote * 2, quote) if quote else text
