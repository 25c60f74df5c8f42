"""Nothing that a request says names code: kinds are words of a closed list, and targets are class attributes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from service.errors import Invalid
from service.spec.catalog import BASES, CATALOG
from service.spec.component import Component
from service.spec.parse.experiment import parse_experiment
from service.spec.plugin_checks import find_faults

SPEC: dict[str, Any] = {
    "dataset": {"kind": "digits"},
    "model": {"kind": "mlp"},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"},
    "schedule": {"kind": "constant"},
    "steps": 2,
}
KINDS: tuple[Any, ...] = (
    *("os.system", "os:system", "builtins:eval", "torch.nn:Linear", "worker.trainer.build:resolve", "subprocess:Popen"),
    *("__import__", "__import__('os').system('true')", "__class__", "__init__", "eval", "exec", "{0.__class__}"),
    *(
        "../mlp",
        "/etc/passwd",
        "file:///etc/passwd",
        "mlp;import os",
        "mlp\nimport os",
        "mlp\x00",
        "ours.models:Doubled",
    ),
    *("MLP", " mlp", "mlp ", "mlp\u200b", "m\u04cfp", "\uff4d\uff4c\uff50", "mlp\u0301", "ml\u0440", "\u202emlp"),
    *("", "model.mlp", "saddle.components", None, 0, True, 1.5, ["mlp"], {"kind": "mlp"}, {"$ref": "os:system"}),
)
ATTRIBUTES = ("target", "needs", "left_out", "example", "formula", "__class__", "__dict__", "model_config", "tasks")
PLACES: dict[str, tuple[str, ...]] = {  # where a spec holds a part of each family
    **{family: (family,) for family in ("dataset", "model", "loss", "optimizer", "schedule")},
    "init": ("model", "init"),
    "probe": ("probes", "0"),
    "augmentation": ("augment", "0"),
    "metric": ("metrics", "0"),
    "preparation": ("dataset", "prepare", "0"),
}


def with_part(family: str, part: Any) -> dict[str, Any]:
    first, *rest = PLACES[family]
    if family == "preparation":
        return SPEC | {"dataset": {"kind": "digits", "prepare": [part]}}
    if not rest:
        return SPEC | {first: part}
    return SPEC | {first: [part] if rest == ["0"] else {"kind": "mlp", rest[0]: part}}


@pytest.fixture
def _nothing_is_imported() -> Iterator[None]:
    before = set(sys.modules)
    yield
    assert {name for name in set(sys.modules) - before if not name.startswith(("pydantic", "encodings"))} == set()


def refused(document: dict[str, Any]) -> list[str]:
    with pytest.raises(Invalid) as caught:
        parse_experiment(document)
    return [problem.pointer for problem in caught.value.problems]


def test_a_spec_has_a_place_for_every_family() -> None:
    assert PLACES.keys() == BASES.keys()


@pytest.mark.usefixtures("_nothing_is_imported")
@pytest.mark.parametrize("family", PLACES)
def test_a_kind_is_a_word_of_the_catalogue(family: str) -> None:
    place = "/" + "/".join(PLACES[family])
    known = CATALOG[BASES[family][0]]
    for kind in KINDS:
        if isinstance(kind, str) and kind in known:
            continue
        pointers = refused(with_part(family, {"kind": kind}))
        assert all(pointer.startswith(place) for pointer in pointers), (kind, pointers)
    assert refused(with_part(family, "os:system")) == [f"{place}/kind"]  # a kind by itself
    assert refused(with_part(family, {})) == [f"{place}/kind"]


@pytest.mark.usefixtures("_nothing_is_imported")
@pytest.mark.parametrize("family", PLACES)
def test_what_names_code_is_no_field(family: str) -> None:
    kind = next(iter(CATALOG[BASES[family][0]]))
    for name in ATTRIBUTES:
        assert f"/{'/'.join(PLACES[family])}/{name}" in refused(with_part(family, {"kind": kind, name: "os:system"}))


def test_no_component_has_a_field_that_names_its_target() -> None:
    members = [member for kinds in CATALOG.values() for member in kinds.values()]
    reserved = {name for name in Component.__annotations__ if name != "kind"}
    assert {"target", "needs", "example"} <= reserved
    assert [member for member in members if reserved & set(member.model_fields)] == []


@pytest.mark.filterwarnings("ignore:Field name")  # that is what pydantic says of it
@pytest.mark.parametrize("family", BASES)
def test_a_plug_in_whose_target_is_a_field_is_refused(family: str) -> None:
    base = BASES[family][1]
    fields = {"kind": Literal["loose"], "target": str, "__doc__": "A request could set its target."}
    loose = type("Loose", (base,), {"__annotations__": fields, "kind": "loose", "target": "os:system"})
    assert "target" in loose.model_fields
    assert any(
        "has target as a field, which a request could set: leave out its annotation" in fault
        for fault in find_faults(loose, base, "loose")
    )
    kept = {"kind": Literal["kept"], "target": ClassVar[str]}
    tight = type("Tight", (base,), {"__annotations__": kept, "kind": "kept", "target": "ours:made"})
    assert not any("as a field" in fault for fault in find_faults(tight, base, "kept"))


FOREIGN = """
import sys
from service.spec.catalog import CATALOG
from service.spec.plugins import used_packages
assert "evil" not in sys.modules, "it was imported"
assert not any("evil" in kinds for kinds in CATALOG.values())
print("never loaded")
"""


def test_what_other_groups_offer_is_never_loaded(tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit('loaded')\n")
    facts = tmp_path / "evil-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    groups = ("console_scripts", "saddle", "saddle.component", "Saddle.Components", "saddle.components.x", "pytest11")
    (facts / "entry_points.txt").write_text("".join(f"[{group}]\nmodel.evil = evil:Evil\n" for group in groups))
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}"}
    done = subprocess.run([sys.executable, "-c", FOREIGN], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "never loaded\n", done.stderr
