import pytest

from service.client.documents import apply_changes, parse, parse_seeds
from service.client.errors import Unusable
from service.client.yaml import read_yaml


def test_numbers_are_what_people_mean() -> None:
    text = "a: 1e-3\nb: 5E+2\nc: .5\nd: -3\ne: 1.\nf: 0\ng: -1.5e-3"
    assert read_yaml(text) == {"a": 1e-3, "b": 500.0, "c": 0.5, "d": -3, "e": 1.0, "f": 0, "g": -1.5e-3}


@pytest.mark.parametrize("text", ["no", "off", "yes", "012", "1:30", "2026-01-01", "0x1f", "1_000", "y", ".inf", "<<"])
def test_what_yaml_1_1_would_turn_into_something_else_stays_a_text(text: str) -> None:
    assert read_yaml(f"a: {text}") == {"a": text}


def test_only_true_false_and_null_are_words() -> None:
    assert read_yaml("[true, False, null, ~, ]") == [True, False, None, None]
    assert read_yaml("a:") == {"a": None}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "line 3, column 1: the key 'a' is repeated"),
        ("a: {x: 1, x: 2}", "'x' is repeated"),
        ("1: 2", "must be a text"),
        ("a: &x [1]\nb: *x", "aliases"),
        ("a: !!python/object/apply:os.system [x]", "could not determine a constructor"),
        ("a: [1", "line 1"),
        ("a: 1e999", "too large"),
        ("- " * 5000 + "1", "recursion"),
        ("a: \x00", "not allowed"),
    ],
)
def test_what_is_unclear_or_unsafe_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(Unusable, match="the file") as refused:
        read_yaml(text)
    assert said in str(refused.value)


def test_a_spec_is_read_from_json_and_yaml_alike() -> None:
    assert parse('{"a": 1}', "x") == parse("a: 1", "x") == {"a": 1}
    with pytest.raises(Unusable, match="'a' is repeated"):
        parse('{"a": 1, "a": 2}', "x")
    with pytest.raises(Unusable, match="no mapping"):
        parse("- 1", "x")
    with pytest.raises(Unusable, match="JSON has not"):
        parse("a: !!timestamp 2026-01-01", "x")


def test_set_changes_one_value_and_nothing_else() -> None:
    before = {"optimizer": {"lr": 1, "betas": [0.9, 0.99]}}
    made = apply_changes(before, ["optimizer.lr=1e-3", "optimizer.betas.1=0.5", "model.hidden=[8, 8]", "name=no"])
    assert made == {"optimizer": {"lr": 1e-3, "betas": [0.9, 0.5]}, "model": {"hidden": [8, 8]}, "name": "no"}
    assert before["optimizer"]["lr"] == 1


@pytest.mark.parametrize("change", ["lr", "=1", "a..b=1", "betas.7=1", "betas.x=1", "a=[1"])
def test_a_set_that_means_nothing_is_refused(change: str) -> None:
    with pytest.raises(Unusable):
        apply_changes({"betas": [1]}, [change])


def test_seeds_are_ranges_and_lists() -> None:
    assert parse_seeds("0-4") == [0, 1, 2, 3, 4]
    assert parse_seeds("0-1, 7,1") == [0, 1, 7]
    for wrong in ("", "4-1", "a", "0-99999999999", "-1", "1,"):
        with pytest.raises(Unusable):
            parse_seeds(wrong)
