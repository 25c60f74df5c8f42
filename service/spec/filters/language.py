"""The filter language: from `status = failed AND best(val/loss) < 0.3` to a tree. It knows no SQL.

    filter  = and {"OR" and}            field = a fact | a path of the spec | figure "(" series ")"
    and     = not {"AND" not}           value = word | number | "text" | 'text' ("" in "text" is one ")
    not     = ["NOT"] ("(" filter ")" | term)
    term    = field ("=" | "!=" | "<" | "<=" | ">" | ">=" | "~") value     ~: contains, whatever the case
            | field ["NOT"] "IN" "(" value {"," value} ")"
            | field "IS" ["NOT"] "NULL"

Every term is true or false: what is not there equals nothing, so `optimizer.momentum != 0.9` holds for Adam.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from service.errors import Invalid, Problem
from service.spec.filters.fields import FACTS, FIGURES, STATES, Noun, Type, known_path, spec_paths
from service.spec.filters.tokens import Token, filter_error, tokenise
from service.spec.text import normalise
from service.spec.validation_errors import closest

MAX_BYTES, MAX_TERMS, MAX_DEPTH = 1024, 20, 20
ALIASES = {
    "status": "state",
    "created_at": "created",
    "tags": "tag",
    "started_at": "started",
    "finished_at": "finished",
}
Operator = Literal["=", "<", "<=", ">", ">=", "~", "in", "null"]
COMPARISONS: tuple[Operator, ...] = ("=", "<=", ">=", "<", ">", "~")
Value = str | float | bool | datetime


@dataclass(frozen=True)
class Fact:
    """A column of the row, or what stands for one."""

    name: str
    type: Type


@dataclass(frozen=True)
class SpecField:
    """A place in the spec."""

    path: tuple[str, ...]
    type: Type = "any"


@dataclass(frozen=True)
class Figure:
    """A figure of a series: of an experiment the mean over its runs that have one."""

    figure: str
    series: str
    type: Type = "number"


Field = Fact | SpecField | Figure


@dataclass(frozen=True)
class Term:
    """A field held against values."""

    field: Field
    operator: Operator
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Not:
    """What does not hold."""

    inner: "Node"


@dataclass(frozen=True)
class And:
    """What holds together."""

    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Or:
    """What holds in part."""

    parts: tuple["Node", ...]


Node = Term | Not | And | Or


def parse(source: str, noun: Noun) -> Node:
    """The tree of a filter on these things; `Invalid` with the column and what was expected there."""
    if len(source.encode("utf-8", "replace")) > MAX_BYTES:
        raise Invalid.of([Problem("/query/filter", "too_long", "the filter is too long.", f"{MAX_BYTES} bytes")])
    return Parser(tokenise(source), noun).whole()


def parse_field(source: str, noun: Noun, parameter: str = "sort") -> Field:
    """One field, as a list is sorted by it."""
    parser = Parser(tokenise(source), noun, parameter)
    found = parser.field()
    parser.ended()
    return found


class Parser:
    """Reads tokens from the left; one method a rule."""

    def __init__(self, words: Sequence[Token], noun: Noun, parameter: str = "filter") -> None:
        self.words, self.noun, self.parameter = words, noun, parameter
        self.at = self.terms = 0

    @property
    def next(self) -> Token:
        """The token that is read next."""
        return self.words[self.at]

    def whole(self) -> Node:
        """A filter and nothing behind it."""
        found = self.either(0)
        self.ended("AND", "OR")
        return found

    def ended(self, *instead: str) -> None:
        """Refuse what is left over."""
        if self.next.kind != "end":
            raise self.unexpected("the end", *instead)

    def either(self, depth: int) -> Node:
        """Parts with OR between them."""
        parts = [self.both(depth)]
        while self.take("OR"):
            parts.append(self.both(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def both(self, depth: int) -> Node:
        """Parts with AND between them."""
        parts = [self.negated(depth)]
        while self.take("AND"):
            parts.append(self.negated(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def negated(self, depth: int) -> Node:
        """A term or a filter in parentheses, perhaps with NOT before it."""
        if depth > MAX_DEPTH:
            raise filter_error(self.next.column, f"more than {MAX_DEPTH} levels.", [], parameter=self.parameter)
        if self.take("NOT"):
            return Not(self.negated(depth + 1))
        if self.take("("):
            found = self.either(depth + 1)
            self.expect(")", "AND", "OR")
            return found
        return self.term()

    def term(self) -> Node:
        """A field and what it is held against."""
        self.terms += 1
        if self.terms > MAX_TERMS:
            raise filter_error(self.next.column, f"more than {MAX_TERMS} terms.", [], parameter=self.parameter)
        field = self.field()
        if self.take("IS"):
            negated = self.take("NOT")
            self.expect("NULL", *(() if negated else ("NOT",)))
            return Not(Term(field, "null")) if negated else Term(field, "null")
        if self.take("NOT"):
            self.expect("IN")
            return Not(Term(field, "in", self.values(field)))
        if self.take("IN"):
            return Term(field, "in", self.values(field))
        if self.take("!="):
            return Not(Term(field, "=", (self.value(field),)))
        for operator in COMPARISONS:
            if self.take(operator):
                self.fits(field, operator)
                return Term(field, operator, (self.spelled(field) if operator == "~" else self.value(field),))
        raise self.unexpected("!=", *COMPARISONS, "IN", "NOT IN", "IS NULL", "IS NOT NULL")

    def field(self) -> Field:
        """What is asked for; refuses what nothing has."""
        token = self.next
        if token.kind != "word" or token.keyword() in ("AND", "OR", "IN", "IS", "NULL", "NOT"):
            raise self.unexpected("a field", "NOT", "(") if self.parameter == "filter" else self.unexpected("a field")
        self.at += 1
        if self.next.text == "(" and self.next.kind == "operator":
            return self.figure(token)
        name = ALIASES.get(token.text, token.text)
        facts = FACTS[self.noun]
        if name in facts:
            return Fact(name, facts[name])
        if known_path(name):
            return SpecField(tuple(name.split(".")))
        near = closest(token.text, [*facts, *spec_paths()])
        raise filter_error(token.column, "there is no such field.", [*facts], near, self.parameter)

    def figure(self, token: Token) -> Figure:
        """last(series) and its like."""
        if token.text not in FIGURES:
            near = closest(token.text, FIGURES)
            raise filter_error(token.column, "there is no such figure.", list(FIGURES), near, self.parameter)
        self.expect("(")
        if self.next.kind not in ("word", "text"):
            raise self.unexpected("the name of a series")
        series = self.text()
        self.expect(")")
        return Figure(token.text, series)

    def fits(self, field: Field, operator: str) -> None:
        """Refuse orders where there is none, and parts of what is no text."""
        ordered = field.type in ("number", "date", "any")
        if operator in ("<", "<=", ">", ">=") and not ordered:
            self.at -= 1
            raise self.unexpected("=", "!=", "~", "IN")
        if operator == "~" and field.type not in ("text", "any"):
            self.at -= 1
            raise self.unexpected("=", "!=", "<", "<=", ">", ">=", "IN")

    def values(self, field: Field) -> tuple[Value, ...]:
        """A list in parentheses."""
        self.expect("(")
        found = [self.value(field)]
        while self.take(","):
            found.append(self.value(field))
        self.expect(")", ",")
        return tuple(found)

    def text(self) -> str:
        """A value as it is written."""
        token = self.next
        if token.kind not in ("word", "text"):
            raise self.unexpected("a value")
        self.at += 1
        if "\x00" in token.text:
            raise filter_error(token.column, "a text cannot hold this character.", [], parameter=self.parameter)
        return token.text

    def spelled(self, field: Field) -> str:
        """A text; of a name, a tag or notes in the form in which they are stored."""
        text = self.text()
        return normalise(text) if isinstance(field, Fact) else text

    def value(self, field: Field) -> Value:
        """A value of the field's type."""
        token = self.next
        text = self.spelled(field)
        if field.type == "number":
            return self.number(token)
        if field.type == "date":
            return self.date(token)
        if field.type == "state" and token.text not in STATES:
            raise filter_error(
                token.column, "there is no such state.", STATES, closest(token.text, STATES), self.parameter
            )
        if field.type == "any" and token.kind == "word":
            return _bare(token.text)
        return text

    def number(self, token: Token) -> float:
        """A finite number."""
        found = _number(token.text) if token.kind == "word" else None
        if found is None:
            raise filter_error(token.column, "this is no finite number.", ["a number"], parameter=self.parameter)
        return found

    def date(self, token: Token) -> datetime:
        """A day or a moment, in UTC where it says no zone."""
        try:
            found = datetime.fromisoformat(token.text)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            expected = ["2026-01-31", "2026-01-31T12:00:00Z"]
            raise filter_error(token.column, "this is no date.", expected, parameter=self.parameter) from None

    def take(self, word: str) -> bool:
        """Go past this keyword or operator if it is next."""
        found = self.next.keyword() == word
        self.at += found
        return found

    def expect(self, word: str, *others: str) -> None:
        """Go past it, or refuse what is there instead."""
        if not self.take(word):
            raise self.unexpected(word, *others)

    def unexpected(self, *expected: str) -> Invalid:
        """What is next cannot be there."""
        what = "the filter ends here" if self.next.kind == "end" else "this cannot stand here"
        detail = f"{what}; expected: {', '.join(expected)}."
        return filter_error(self.next.column, detail, list(expected), parameter=self.parameter)


def _bare(word: str) -> Value:
    """An unquoted value of a spec: a boolean, a number, or itself."""
    if word in ("true", "false"):
        return word == "true"
    found = _number(word)
    return word if found is None else found


def _number(word: str) -> float | None:
    try:
        found = float(word.replace("_", "x"))  # Python takes 1_000, JSON does not
    except ValueError:
        return None
    return found if math.isfinite(found) else None
