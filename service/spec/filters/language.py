"""The filter language: from `status = failed AND best(val/loss) < 0.3` to a tree, independent of SQL.

    filter  = and {"OR" and}            field = a fact | a path of the spec | figure "(" series ")"
    and     = not {["AND"] not}         value = word | number | "text" | 'text' ("" in "text" is one ")
    not     = ["NOT"] ("(" filter ")" | term)
    term    = field ("=" | "!=" | "<" | "<=" | ">" | ">=" | "~") value     ~: contains, whatever the case
            | field ["NOT"] "IN" "(" value {"," value} ")"
            | field "IS" ["NOT"] "NULL"
            | value                     a plain word: the name, a tag, the notes, the id or the owner contains it

A word is a field if what follows compares it: an operator, IS, IN, NOT IN, or a parenthesis. Otherwise it is searched
for, and words side by side must all be found: `adamw "long run" state = failed`.

Every term is true or false: a missing value equals nothing, so `optimizer.momentum != 0.9` holds for Adam.
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
SEARCHED = ("name", "tag", "notes", "id", "owner")  # where a plain word is looked for
Operator = Literal["=", "<", "<=", ">", ">=", "~", "in", "null"]
COMPARISONS: tuple[Operator, ...] = ("=", "<=", ">=", "<", ">", "~")
Value = str | float | bool | datetime


@dataclass(frozen=True)
class Fact:
    """A column of the row, or a value computed in its place."""

    name: str
    type: Type


@dataclass(frozen=True)
class SpecField:
    """A field of the spec."""

    path: tuple[str, ...]
    type: Type = "any"


@dataclass(frozen=True)
class Figure:
    """A figure of a series; of an experiment, the mean over its runs that have one."""

    figure: str
    series: str
    type: Type = "number"


Field = Fact | SpecField | Figure


@dataclass(frozen=True)
class Term:
    """A field compared with values."""

    field: Field
    operator: Operator
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Not:
    """A condition that must not hold."""

    inner: "Node"


@dataclass(frozen=True)
class And:
    """Conditions that must all hold."""

    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Or:
    """Conditions of which one must hold."""

    parts: tuple["Node", ...]


Node = Term | Not | And | Or


def parse(source: str, noun: Noun) -> Node:
    """Return the tree of a filter on `noun`; raise `Invalid` with the column and what was expected there."""
    if len(source.encode("utf-8", "replace")) > MAX_BYTES:
        raise Invalid.of([Problem("/query/filter", "too_long", "the filter is too long.", f"{MAX_BYTES} bytes")])
    return Parser(tokenise(source), noun).parse_filter()


def parse_field(source: str, noun: Noun, parameter: str = "sort") -> Field:
    """Return a single field, as a list is sorted by."""
    parser = Parser(tokenise(source), noun, parameter)
    found = parser.field()
    parser.expect_end()
    return found


class Parser:
    """A recursive descent parser: one method per rule of the grammar."""

    def __init__(self, words: Sequence[Token], noun: Noun, parameter: str = "filter") -> None:
        self.words, self.noun, self.parameter = words, noun, parameter
        self.at = self.terms = 0

    @property
    def next(self) -> Token:
        """The next token."""
        return self.words[self.at]

    def parse_filter(self) -> Node:
        """Read a filter up to the end."""
        found = self.disjunction(0)
        self.expect_end("AND", "OR")
        return found

    def expect_end(self, *instead: str) -> None:
        """Raise `Invalid` for tokens that are left over."""
        if self.next.kind != "end":
            raise self.unexpected("the end", *instead)

    def disjunction(self, depth: int) -> Node:
        """Read parts with OR between them."""
        parts = [self.conjunction(depth)]
        while self.take("OR"):
            parts.append(self.conjunction(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def conjunction(self, depth: int) -> Node:
        """Read parts with AND between them."""
        parts = [self.negation(depth)]
        while self.take("AND") or self.begins_term():
            parts.append(self.negation(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def begins_term(self) -> bool:
        """Return whether a term may begin here, with no AND before it."""
        if self.next.kind == "operator":
            return self.next.text == "("
        return self.next.kind in ("word", "text") and self.next.keyword() not in ("AND", "OR", "IN", "IS", "NULL")

    def is_plain(self) -> bool:
        """Return whether the next token is searched for: nothing that compares a field follows it."""
        if self.next.kind == "text":
            return True
        if self.next.kind != "word" or self.next.keyword() in ("AND", "OR", "IN", "IS", "NULL", "NOT"):
            return False
        after = self.words[self.at + 1]
        if after.keyword() == "NOT":
            return self.words[self.at + 2].keyword() != "IN"
        return after.keyword() not in ("IS", "IN") and (after.kind != "operator" or after.text in (")", ","))

    def negation(self, depth: int) -> Node:
        """Read a term or a filter in parentheses, with an optional NOT before it."""
        if depth > MAX_DEPTH:
            raise filter_error(self.next.column, f"more than {MAX_DEPTH} levels.", [], parameter=self.parameter)
        if self.take("NOT"):
            return Not(self.negation(depth + 1))
        if self.take("("):
            found = self.disjunction(depth + 1)
            self.expect(")", "AND", "OR")
            return found
        return self.term()

    def term(self) -> Node:
        """Read a field, an operator and values."""
        self.terms += 1
        if self.terms > MAX_TERMS:
            raise filter_error(self.next.column, f"more than {MAX_TERMS} terms.", [], parameter=self.parameter)
        if self.is_plain():
            text = normalise(self.text())
            return Or(tuple(Term(Fact(name, "text"), "~", (text,)) for name in SEARCHED))
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
                self.check_operator(field, operator)
                return Term(field, operator, (self.normalised_text(field) if operator == "~" else self.value(field),))
        raise self.unexpected("!=", *COMPARISONS, "IN", "NOT IN", "IS NULL", "IS NOT NULL")

    def field(self) -> Field:
        """Read a field; raise `Invalid` for an unknown one."""
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
        series = f" Of a series write {FIGURES[0]}({token.text})." if "/" in token.text else ""
        raise filter_error(token.column, f"there is no such field.{series}", [*facts], near, self.parameter)

    def figure(self, token: Token) -> Figure:
        """Read a figure of a series, such as last(series)."""
        if token.text not in FIGURES:
            near = closest(token.text, FIGURES)
            raise filter_error(token.column, "there is no such figure.", list(FIGURES), near, self.parameter)
        self.expect("(")
        if self.next.kind not in ("word", "text"):
            raise self.unexpected("the name of a series")
        series = self.text()
        self.expect(")")
        return Figure(token.text, series)

    def check_operator(self, field: Field, operator: str) -> None:
        """Raise `Invalid` for an order of values that have none, and for a part of what is no text."""
        ordered = field.type in ("number", "date", "any")
        if operator in ("<", "<=", ">", ">=") and not ordered:
            self.at -= 1
            raise self.unexpected("=", "!=", "~", "IN")
        if operator == "~" and field.type not in ("text", "any"):
            self.at -= 1
            raise self.unexpected("=", "!=", "<", "<=", ">", ">=", "IN")

    def values(self, field: Field) -> tuple[Value, ...]:
        """Read a list in parentheses."""
        self.expect("(")
        found = [self.value(field)]
        while self.take(","):
            found.append(self.value(field))
        self.expect(")", ",")
        return tuple(found)

    def text(self) -> str:
        """Read a value as it is written."""
        token = self.next
        if token.kind not in ("word", "text"):
            raise self.unexpected("a value")
        self.at += 1
        if "\x00" in token.text:
            raise filter_error(token.column, "a text cannot hold this character.", [], parameter=self.parameter)
        return token.text

    def normalised_text(self, field: Field) -> str:
        """Read a text; for names, tags and notes, return the normal form in which they are stored."""
        text = self.text()
        return normalise(text) if isinstance(field, Fact) else text

    def value(self, field: Field) -> Value:
        """Read a value of the field's type."""
        token = self.next
        text = self.normalised_text(field)
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
        """Return a finite number; raise `Invalid` for anything else."""
        found = _number(token.text) if token.kind == "word" else None
        if found is None:
            raise filter_error(token.column, "this is no finite number.", ["a number"], parameter=self.parameter)
        return found

    def date(self, token: Token) -> datetime:
        """Return a date or time, in UTC unless it names a zone."""
        try:
            found = datetime.fromisoformat(token.text)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            expected = ["2026-01-31", "2026-01-31T12:00:00Z"]
            raise filter_error(token.column, "this is no date.", expected, parameter=self.parameter) from None

    def take(self, word: str) -> bool:
        """Consume this keyword or operator if it is next."""
        found = self.next.keyword() == word
        self.at += found
        return found

    def expect(self, word: str, *others: str) -> None:
        """Consume it; raise `Invalid` for anything else."""
        if not self.take(word):
            raise self.unexpected(word, *others)

    def unexpected(self, *expected: str) -> Invalid:
        """Return the error for the next token."""
        what = "the filter ends here" if self.next.kind == "end" else "this cannot stand here"
        detail = f"{what}; expected: {', '.join(expected)}."
        return filter_error(self.next.column, detail, list(expected), parameter=self.parameter)


def _bare(word: str) -> Value:
    """Return an unquoted value of a spec: a boolean, a number, or the word itself."""
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
