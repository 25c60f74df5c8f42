"""The difference of documents, against a version that asks for every pointer in every document."""

import json
import math
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from service.analysis.spec_difference import MISSING, Json, Missing, difference

modest = settings(deadline=None, max_examples=100)
names = st.sampled_from(["a", "b", "x/y", "m~n", "", "lr"])
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(0, 2), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from(["", "1"])
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(names, values, max_size=4)


def pointers(value: Json, at: str = "") -> list[str]:
    """Every place of a document, inner ones included."""
    found = [at]
    if isinstance(value, Mapping):
        for key, inner in value.items():
            found += pointers(inner, f"{at}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            found += pointers(inner, f"{at}/{position}")
    return found


def look_up(document: Json, pointer: str) -> Json | Missing:
    """RFC 6901, from the root; MISSING also where something lies further in: then it is no leaf."""
    here = document
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(here, Mapping) and name in here:
            here = here[name]
        elif isinstance(here, list) and name.isdigit() and int(name) < len(here):
            here = here[int(name)]
        else:
            return MISSING
    inner = isinstance(here, list | Mapping) and (len(here) > 0 or not pointer)
    return MISSING if inner else here


def text(value: Json | Missing) -> str:
    """1.0 as 1, so that equal numbers have equal texts."""
    if value is MISSING:
        return "nothing"
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)


@modest
@given(st.lists(documents, max_size=4))
def test_the_table_holds_exactly_the_leaves_that_differ(several: list[dict[str, Json]]) -> None:
    expected = {}
    for pointer in {pointer for document in several for pointer in pointers(document)}:
        row = [text(look_up(document, pointer)) for document in several]
        if len(set(row)) > 1:
            expected[pointer] = row
    found = {pointer: [text(v) for v in row.values] for pointer, row in difference(several).items()}
    assert found == expected


@modest
@given(st.lists(documents, min_size=2, max_size=4))
def test_the_order_does_not_depend_on_documents_or_keys(several: list[dict[str, Json]]) -> None:
    turned = [dict(reversed(document.items())) for document in reversed(several)]
    assert list(difference(several)) == list(difference(turned))


def test_two_specs_and_their_table() -> None:
    adam: dict[str, Json] = {"optimizer": {"kind": "adam", "lr": 0.001, "betas": [0.9, 0.999]}, "seeds": [0]}
    sgd: dict[str, Json] = {"optimizer": {"kind": "sgd", "lr": 0.001, "momentum": None}, "seeds": [0]}
    assert {pointer: row.as_json() for pointer, row in difference([adam, sgd]).items()} == {
        "/optimizer/betas/0": {"values": [0.9, None], "missing": [1]},
        "/optimizer/betas/1": {"values": [0.999, None], "missing": [1]},
        "/optimizer/kind": {"values": ["adam", "sgd"], "missing": []},
        "/optimizer/momentum": {"values": [None, None], "missing": [0]},
    }


def test_positions_of_an_array_are_ordered_as_numbers() -> None:
    assert list(difference([{"a": list(range(12))}, {"a": list(range(1, 13))}])) == [f"/a/{i}" for i in range(12)]


def test_true_is_not_one_but_one_is_one() -> None:
    assert list(difference([{"a": True, "b": 1, "c": None}, {"a": 1, "b": 1.0, "c": "null"}])) == ["/a", "/c"]


def test_nan_does_not_differ_from_itself() -> None:
    assert difference([{"a": math.nan}, {"a": float("nan")}]) == {}


def test_an_emptied_object_differs_from_a_filled_one() -> None:
    table = difference([{"a": {}}, {"a": {"b": 1}}])
    assert {pointer: row.values for pointer, row in table.items()} == {
        "/a": ({}, MISSING),
        "/a/b": (MISSING, 1),
    }


def test_nothing_differs_from_nothing() -> None:
    assert difference([]) == {}
    assert difference([{}]) == {}
    assert difference([{}, {}]) == {}
