"""The filter language: what it reads, what it refuses and where, and that nothing breaks it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import Invalid, Problem
from service.spec.filters.fields import spec_paths
from service.spec.filters.language import (
    SEARCHED,
    And,
    Fact,
    Figure,
    Node,
    Not,
    Or,
    SpecField,
    Term,
    parse,
    parse_field,
)

STATE = Fact("state", "state")
KIND = SpecField(("optimizer", "kind"))


def refused(source: str, noun: str = "experiments") -> Problem:
    with pytest.raises(Invalid) as error:
        parse(source, noun)
    return error.value.problems[0]


def test_the_example_of_the_documentation() -> None:
    assert parse("status = failed AND (optimizer.kind IN (sgd, adamw) OR best(val/loss) < 0.3)", "experiments") == And(
        (
            Term(STATE, "=", ("failed",)),
            Or((Term(KIND, "in", ("sgd", "adamw")), Term(Figure("best", "val/loss"), "<", (0.3,)))),
        )
    )


@pytest.mark.parametrize(
    ("source", "tree"),
    [
        ("not state = queued", Not(Term(STATE, "=", ("queued",)))),
        ("state != queued", Not(Term(STATE, "=", ("queued",)))),
        ("optimizer.kind NOT IN (sgd)", Not(Term(KIND, "in", ("sgd",)))),
        ("clip IS NULL", Term(SpecField(("clip",)), "null")),
        ("clip is not null", Not(Term(SpecField(("clip",)), "null"))),
        ("groups.0.lr=1e-3", Term(SpecField(("groups", "0", "lr")), "=", (0.001,))),
        ("shuffle=true", Term(SpecField(("shuffle",)), "=", (True,))),
        ("shuffle='true'", Term(SpecField(("shuffle",)), "=", ("true",))),
        ("name ~ 7", Term(Fact("name", "text"), "~", ("7",))),
        ('name = "it\'s 12"""', Term(Fact("name", "text"), "=", ("it's 12\"",))),
        ("name = 'it''s'", Term(Fact("name", "text"), "=", ("it's",))),
        ("notes ~ 'cafe\u0301'", Term(Fact("notes", "text"), "~", ("caf\u00e9",))),
        ('tag = "two words"', Term(Fact("tag", "text"), "=", ("two words",))),
        ("created >= 2026-01-31", Term(Fact("created", "date"), ">=", (datetime(2026, 1, 31, tzinfo=UTC),))),
        ("last('my loss') > -1", Term(Figure("last", "my loss"), ">", (-1.0,))),
        ("NOT clip IS NULL AND shuffle = true OR shuffle = false", None),
    ],
)
def test_what_is_written_is_what_is_meant(source: str, tree: Node | None) -> None:
    found = parse(source, "experiments")
    if tree is None:  # NOT binds before AND, AND before OR
        assert isinstance(found, Or)
        assert isinstance(found.parts[0], And)
        assert isinstance(found.parts[0].parts[0], Not)
    else:
        assert found == tree


@pytest.mark.parametrize(
    ("source", "column", "expected"),
    [
        ("", 1, "a field"),
        ("state = ", 9, "a value"),
        ("state = failed )", 16, "AND"),
        ("paper state <", 13, "="),
        ("(state = failed", 16, ")"),
        ("best(val/loss < 3", 15, ")"),
        ("optimizer.kind IN sgd", 19, "("),
        ("name < x", 6, "="),
        ("state ~ fail", 7, "="),
        ("created > yesterday", 11, "2026-01-31"),
        ("best(loss) = nan", 14, "a number"),
        ("name = 'open", 8, "a value"),
        ("name = a; DROP TABLE run", 9, "a value"),
        ("AND", 1, "a field"),
    ],
)
def test_a_slip_is_told_with_its_column_and_what_was_expected(source: str, column: int, expected: str) -> None:
    problem = refused(source)
    assert (problem.pointer, problem.column) == ("/query/filter", column)
    assert expected in problem.limit
    assert f"column {column}" in problem.detail


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("optimiser.kind = sgd", "optimizer.kind"),
        ("stat = failed", "state"),
        ("state = fialed", "failed"),
        ("bets(loss) < 1", "best"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_one_that_was_meant(source: str, meant: str) -> None:
    assert refused(source).did_you_mean == meant


def test_a_series_by_itself_is_answered_with_a_figure_of_it() -> None:
    assert refused("val/f1_macro > 0.5").detail.endswith(
        "there is no such field. Of a series write last(val/f1_macro)."
    )


def plain(word: str) -> Node:
    return Or(tuple(Term(Fact(name, "text"), "~", (word,)) for name in SEARCHED))


@pytest.mark.parametrize(
    ("source", "tree"),
    [
        ("adamw", plain("adamw")),
        ("state", plain("state")),
        ("adamw lr-0.1", And((plain("adamw"), plain("lr-0.1")))),
        ('"long run" or 7', Or((plain("long run"), plain("7")))),
        ("adamw state = failed paper", And((plain("adamw"), Term(STATE, "=", ("failed",)), plain("paper")))),
        ("not adamw", Not(plain("adamw"))),
        ("adamw not paper", And((plain("adamw"), Not(plain("paper"))))),
        ("(adamw or sgd) (paper)", And((Or((plain("adamw"), plain("sgd"))), plain("paper")))),
        ("state NOT IN (failed) paper", And((Not(Term(STATE, "in", ("failed",))), plain("paper")))),
    ],
)
def test_a_word_that_nothing_compares_is_searched_for(source: str, tree: Node) -> None:
    assert parse(source, "experiments") == tree


def test_runs_have_facts_that_experiments_have_not() -> None:
    assert parse("seed = 3", "runs") == Term(Fact("seed", "number"), "=", (3.0,))
    assert refused("seed = 3").column == 1


def test_the_length_the_terms_and_the_depth_are_bounded() -> None:
    assert refused("name = " + "x" * 1020).code == "too_long"
    assert "20 terms" in refused(" OR ".join(["seed=1"] * 21), "runs").detail
    assert "20 levels" in refused("(" * 500).detail
    assert "20 levels" in refused("NOT " * 200).detail
    parse(" OR ".join(["seed=1"] * 20), "runs")


def test_every_field_of_a_spec_can_be_asked_for() -> None:
    assert {"optimizer.lr", "dataset.kind", "model.hidden.#", "schedule.kind", "batch_size"} <= spec_paths()
    for path in spec_paths():
        parse(f"{path.replace('#', '0')} = 1", "runs")


def test_a_sort_order_is_one_field() -> None:
    assert parse_field("best(val/loss)", "runs") == Figure("best", "val/loss")
    with pytest.raises(Invalid, match="1 problem"):
        parse_field("name = 3", "runs")


WORDS = st.sampled_from(
    ["state", "failed", "best", "(", ")", "loss", "AND", "OR", "NOT", "IN", "IS", "NULL", "=", "<", "~", ",", "1", "'"]
)


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=15).map(" ".join)))
def test_any_text_is_read_or_refused_with_a_column(source: str) -> None:
    try:
        parse(source, "experiments")
    except Invalid as error:
        (problem,) = error.problems
        assert problem.pointer == "/query/filter"
        assert problem.code == "too_long" or 1 <= (problem.column or 0) <= len(source) + 1
