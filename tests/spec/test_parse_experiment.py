"""Parsing a posted document: presets are merged, Keras' names translated or refused, and pointers are as sent."""

import copy
from typing import Any

import pytest

from service.errors import Invalid, Problem
from service.spec.parse.aliases import translate
from service.spec.parse.experiment import ParsedExperiment, parse_experiment
from service.spec.parse.presets import merge_patch

PLAIN: dict[str, Any] = {
    "dataset": {"kind": "iris"},
    "model": {"kind": "mlp", "hidden": [8]},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"},
    "steps": 40,
}


def parsed(**changes: Any) -> ParsedExperiment:
    return parse_experiment(PLAIN | changes)


def problems(**changes: Any) -> list[Problem]:
    with pytest.raises(Invalid) as caught:
        parsed(**changes)
    return list(caught.value.problems)


def adam(**more: Any) -> dict[str, Any]:
    return {"kind": "adam", **more}


@pytest.mark.parametrize(
    ("sent", "ours"),
    [
        ({"kind": "sgd", "learning_rate": 0.2}, {"kind": "sgd", "lr": 0.2}),
        (adam(learning_rate=0.1, epsilon=1e-6), adam(lr=0.1, eps=1e-6)),
        (adam(beta_1=0.8, beta_2=0.99), adam(betas=[0.8, 0.99])),
        (adam(beta_2=0.99), adam(betas=[0.9, 0.99])),
        (adam(epsilon=None), adam(eps=1e-7)),
        (adam(decay=0.0, amsgrad=True, clipnorm=None), adam(amsgrad=True)),
    ],
)
def test_words_of_the_same_meaning_are_taken_and_noted(sent: dict[str, Any], ours: dict[str, Any]) -> None:
    taken = parsed(optimizer=sent)
    assert taken.spec == parsed(optimizer=ours).spec
    assert {note.code for note in taken.notes} >= {"translated"} or sent.get("clipnorm", 0) is None
    assert all(note.pointer.removeprefix("/optimizer/") in sent for note in taken.notes)
    assert parsed(optimizer=ours).notes == []


@pytest.mark.parametrize(("word", "ours"), [("clipvalue", "value"), ("global_clipnorm", "norm")])
def test_clipping_moves_out_of_the_optimizer(word: str, ours: str) -> None:
    assert parsed(optimizer=adam(**{word: 0.5})).spec == parsed(optimizer=adam(), clip={ours: 0.5}).spec
    (found,) = problems(optimizer=adam(**{word: 0.5}), clip={"norm": 1.0})
    assert (found.pointer, found.code) == (f"/optimizer/{word}", "contradiction")
    assert "/clip" in found.detail


@pytest.mark.parametrize(
    ("optimizer", "pointer", "meant", "said"),
    [
        ({"kind": "rmsprop", "rho": 0.9}, "/optimizer/rho", "alpha", ("0.9", "0.99")),
        (adam(decay=1e-4), "/optimizer/decay", "/schedule", ("inverse_time", "weight_decay")),
        (adam(clipnorm=1.0), "/optimizer/clipnorm", "/clip/norm", ("global_clipnorm", "each weight")),
    ],
)
def test_words_of_another_meaning_are_answered(
    optimizer: dict[str, Any], pointer: str, meant: str, said: tuple[str, ...]
) -> None:
    (found,) = problems(optimizer=optimizer)
    assert (found.pointer, found.did_you_mean) == (pointer, meant)
    assert all(word in found.detail for word in said)


def test_what_the_schedule_inverse_time_is_said_to_be_is_keras_decay() -> None:
    shape = {"kind": "inverse_time", "decay_steps": 1, "decay_rate": 1e-2}
    spec = parsed(optimizer={"kind": "sgd", "lr": 0.1}, schedule=shape).spec
    assert [spec.rate(step) for step in (1, 2, 11)] == pytest.approx([0.1 / (1 + 1e-2 * s) for s in (0, 1, 10)])


def test_rho_is_adadeltas_own_word() -> None:
    assert getattr(parsed(optimizer={"kind": "adadelta", "rho": 0.8}).spec.optimizer, "rho", None) == 0.8


@pytest.mark.parametrize(
    ("optimizer", "pointer"),
    [
        (adam(learning_rate=-1), "/optimizer/learning_rate"),
        (adam(beta_2=1.5), "/optimizer/beta_2"),
        (adam(epsilon=0), "/optimizer/epsilon"),
        (adam(clipvalue=-1), "/optimizer/clipvalue"),
    ],
)
def test_a_wrong_value_is_pointed_at_where_it_was_sent(optimizer: dict[str, Any], pointer: str) -> None:
    (found,) = problems(optimizer=optimizer)
    assert found.pointer == pointer
    assert found.limit is not None


@pytest.mark.parametrize(
    "optimizer", [adam(lr=0.1, learning_rate=0.1), adam(eps=1e-8, epsilon=1e-8), adam(betas=[0.9, 0.99], beta_1=0.9)]
)
def test_the_same_thing_by_two_names_is_a_contradiction(optimizer: dict[str, Any]) -> None:
    (found,) = problems(optimizer=optimizer)
    assert found.code == "contradiction"
    assert found.detail.startswith("/optimizer/")


def test_groups_have_their_words_taken_too() -> None:
    sent = [
        {"match": {"name": "layers.0.*"}, "learning_rate": 0.1},
        {"match": {"dim": 2}, "optimizer": adam(beta_1=0.5)},
    ]
    made = translate({"groups": sent})
    assert made.document["groups"][0]["lr"] == 0.1
    assert made.document["groups"][1]["optimizer"] == adam(betas=[0.5, 0.999])
    assert made.point_back(Problem("/groups/1/optimizer/betas/0", "x", "y")).pointer == "/groups/1/optimizer/beta_1"


@pytest.mark.parametrize("document", [None, [], "x", 3, {"optimizer": []}, {"optimizer": None, "groups": [1, None]}])
def test_anything_else_is_left_to_validation(document: Any) -> None:
    before = copy.deepcopy(document)
    made = translate(document)
    assert made.document == document == before
    assert (made.problems, made.notes) == ([], [])
    with pytest.raises(Invalid):
        parse_experiment(document)


# RFC 7396, appendix A; its rows with null inside a new object included
RFC: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "result"), RFC)
def test_merging_is_the_rfcs(target: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy((target, patch))
    assert merge_patch(target, patch) == result
    assert (target, patch) == before


def test_another_kind_takes_the_whole_place() -> None:
    base = {"optimizer": {"kind": "adam", "lr": 0.01, "betas": [0.9, 0.99]}}
    assert merge_patch(base, {"optimizer": {"kind": "sgd"}}) == {"optimizer": {"kind": "sgd"}}
    assert merge_patch(base, {"optimizer": {"kind": "adam", "lr": 0.1}})["optimizer"]["betas"] == [0.9, 0.99]


def test_of_two_fields_that_exclude_each_other_the_new_one_stays() -> None:
    base = {"epochs": 3, "seeds": [1, 2], "clip": {"norm": 1.0}}
    assert merge_patch(base, {"steps": 5, "restarts": 4, "clip": {"value": 0.1}}) == {
        "steps": 5,
        "restarts": 4,
        "clip": {"value": 0.1},
    }


def test_a_preset_is_posted_by_its_name_with_what_is_to_be_different() -> None:
    whole = parse_experiment({"preset": "digits-adam"}).spec
    assert whole.name == "digits-adam"
    other = parse_experiment(
        {"preset": "digits-adam", "optimizer": {"learning_rate": 0.1}, "steps": 50, "restarts": 2}
    ).spec
    assert (other.optimizer.kind, other.optimizer.lr, other.total_steps, other.seeds) == ("adam", 0.1, 50, (0, 1))
    assert other.model == whole.model


def test_an_unknown_preset_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(Invalid) as caught:
        parse_experiment({"preset": "digits-adams"})
    (found,) = caught.value.problems
    assert (found.pointer, found.code, found.did_you_mean) == ("/preset", "unknown_preset", "digits-adam")
    for name in (3, None, ["digits-adam"]):
        with pytest.raises(Invalid):
            parse_experiment({"preset": name})


def test_restarts_are_the_first_seeds() -> None:
    spec = parsed(restarts=20).spec
    assert spec.seeds == tuple(range(20))
    assert spec.hash == parsed(seeds=list(range(20))).spec.hash
    assert parse_experiment(spec.normalised()).spec == spec
    (found,) = problems(restarts=3, seeds=[5, 6])
    assert (found.pointer, found.code) == ("/restarts", "contradiction")
    assert "/seeds" in found.detail


@pytest.mark.parametrize(
    ("changes", "pointer", "meant"),
    [
        ({"optimizer": {"kind": "sgd", "learning_rte": 0.1}}, "/optimizer/learning_rte", "lr"),
        ({"optimizer": {"kind": "sgd", "momentun": 0.9}}, "/optimizer/momentun", "momentum"),
        ({"optimizer": adam(espilon=1e-8)}, "/optimizer/espilon", "eps"),
        ({"optimizer": adam(beta1=0.9)}, "/optimizer/beta1", "betas"),
        ({"optimizer": {"kind": "sgd", "epsilon_": 1e-8}}, "/optimizer/epsilon_", None),  # sgd has no eps
        ({"num_epoch": 3}, "/num_epoch", "epochs"),
        ({"lr_schedular": {"kind": "cosine"}}, "/lr_schedular", "schedule"),
        ({"batchsize": 3}, "/batchsize", "batch_size"),
        ({"model": {"kind": "mlp", "hidden_layer_sizes": [8]}}, "/model/hidden_layer_sizes", "hidden"),
        ({"zebra": 1}, "/zebra", None),
        ({"prepare": []}, "/prepare", "/dataset/prepare"),
        ({"learning_rate": 0.1}, "/learning_rate", "/optimizer/lr"),
        ({"hidden": [8]}, "/hidden", None),  # datasets and models have one
    ],
)
def test_a_misspelt_field_is_answered_with_the_one_meant(changes: dict[str, Any], pointer: str, meant: Any) -> None:
    (found,) = problems(**changes)
    assert (found.pointer, found.code, found.did_you_mean) == (pointer, "unknown_field", meant)


def test_a_field_like_no_other_is_answered_with_those_there_are() -> None:
    (found,) = problems(stop={"target": {"series": "val/loss", "below": 0.1, "value": 0.1}})
    assert found.detail == "there is no such field; there are series, below, above."


def test_a_kind_stands_for_the_component_with_its_defaults() -> None:
    named = {"model": "mlp", "schedule": {"kind": "warmup", "steps": 5, "after": "cosine"}, "metrics": ["f1", "auc"]}
    written = {
        "model": {"kind": "mlp"},
        "schedule": {"kind": "warmup", "steps": 5, "after": {"kind": "cosine"}},
        "metrics": [{"kind": "f1"}, {"kind": "auc"}],
    }
    assert parsed(**named).spec == parsed(**written).spec
    merged = parse_experiment({"preset": "digits-sgd-momentum", "optimizer": "sgd"}).spec.optimizer
    assert merged == parse_experiment({"preset": "digits-sgd-momentum", "optimizer": {"kind": "sgd"}}).spec.optimizer


def test_an_unknown_kind_by_itself_is_answered_with_the_one_meant() -> None:
    (found,) = problems(metrics=["f_1"])
    assert (found.pointer, found.code, found.did_you_mean) == ("/metrics/0/kind", "unknown_kind", "f1")


def test_a_missing_field_is_answered_with_what_it_is() -> None:
    (found,) = problems(metrics=["accuracy"])
    assert found.pointer == "/metrics/0/top_k"
    assert "number of highest scores" in found.detail


TEXT: dict[str, Any] = {
    "kind": "text",
    "upload": "dat_" + "0" * 26,
    "context": 8,
    "resolved": {"sha256": "0" * 64, "format": "text", "rows": 100, "shape": [8], "characters": "abcde"},
}


@pytest.mark.parametrize("kind", ["transformer", "rnn", "gru", "lstm"])
def test_the_vocabulary_of_a_text_need_not_be_given_twice(kind: str) -> None:
    own = {"causal": True} if kind == "transformer" else {}
    model = {"kind": kind, "outputs_at": "every"} | own
    taken = parsed(dataset=TEXT, model=model)
    assert getattr(taken.spec.model, "vocabulary", None) == 5
    assert [(note.pointer, note.code) for note in taken.notes] == [("/model/vocabulary", "filled")]
    given = parsed(dataset=TEXT, model=model | {"vocabulary": 5})
    assert (given.spec, given.notes) == (taken.spec, [])
    (found,) = problems(dataset=TEXT, model=model | {"vocabulary": 4})
    assert found.pointer == "/model/vocabulary"


def test_a_table_fills_in_no_vocabulary() -> None:
    assert getattr(parsed(model={"kind": "rnn"}).spec.model, "vocabulary", 1) is None
