"""A model card (Mitchell et al. 2019, arXiv:1810.03993) as markdown: data, settings, results, diagnosis."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.analysis.aggregate import aggregate
from service.markdown import plain

Json = Mapping[str, Any]


@dataclass(frozen=True)
class CardFacts:
    """What a card is written from."""

    run_id: str
    seed: int
    state: str
    step: int
    trained_s: float
    experiment: str
    notes: str
    spec: Json  # normalised
    spec_hash: str
    rows: tuple[int, int, int]  # training, validation, test
    parameters: int | None
    environment: Json
    results: Mapping[str, float | None]  # of this run, by series
    seeds: Mapping[str, Sequence[float]]  # of every seed that has a result, by series
    overlap: float  # of the folds that these validate on (see `service.analysis.significance`)
    diagnosis: Sequence[str]  # its headline, then its findings


def model_card(facts: CardFacts) -> str:
    """Return the text."""
    parts = [_head(facts), _data(facts), _model(facts), _results(facts), _diagnosis(facts), _spec(facts)]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _head(facts: CardFacts) -> Iterator[str]:
    yield f"# {plain(facts.experiment)}"
    yield ""
    yield f"Run `{facts.run_id}`, seed {facts.seed}, {facts.state} after {facts.step} updates"
    yield f"in {facts.trained_s:.1f} seconds of training. Spec `{facts.spec_hash[:16]}`."
    if facts.notes:
        yield ""
        yield from (f"> {plain(line)}" for line in facts.notes.splitlines())


def _data(facts: CardFacts) -> Iterator[str]:
    dataset = facts.spec["dataset"]
    train, validation, test = facts.rows
    yield "## Data"
    yield ""
    yield f"{plain(_named(dataset))}: {train} rows to train on, {validation} to validate, {test} to test."
    for name in ("predict", "features", "split", "prepare", "scaling", "target_scaling"):
        if dataset.get(name) not in (None, [], ()):
            yield f"- {name}: {plain(_value(dataset[name]))}"
    if classes := (dataset.get("resolved") or {}).get("classes"):
        yield f"- classes: {plain(', '.join(classes))}"
    if digest := (dataset.get("resolved") or {}).get("sha256"):
        yield f"- sha256 of the file: `{digest}`"
    for part, file in zip(("validation", "test"), (dataset.get("resolved") or {}).get("files", ()), strict=False):
        yield f"- sha256 of the {part} file: `{file['sha256']}`"


def _model(facts: CardFacts) -> Iterator[str]:
    spec = facts.spec
    count = "" if facts.parameters is None else f", {facts.parameters} parameters"
    yield "## Model and training"
    yield ""
    yield f"- model: {plain(_named(spec['model']))}{count}"
    yield from (f"- {part}: {plain(_named(spec[part]))}" for part in ("loss", "optimizer", "schedule"))
    length = f"{spec['steps']} updates" if spec["steps"] is not None else f"{spec['epochs']} epochs"
    yield f"- {length} of {spec['batch_size']} rows, precision {spec['precision']}"
    if facts.environment:
        packages = ", ".join(f"{name} {value}" for name, value in facts.environment.items())
        yield f"- trained with {plain(packages)}"


def _results(facts: CardFacts) -> Iterator[str]:
    yield "## Results"
    yield ""
    if not facts.results:
        yield "Nothing was measured."
        return
    yield "At the end of the run; the mean over all seeds of the experiment with a 95 % interval (Student's t)."
    yield ""
    yield "| series | this run | mean | 95 % interval | seeds | diverged |"
    yield "|---|---|---|---|---|---|"
    for name, value in facts.results.items():
        found = aggregate(facts.seeds.get(name, ()), facts.overlap)
        interval = "" if found.low is None or found.high is None else f"{found.low:.4g} to {found.high:.4g}"
        cells = [name, _number(value), _number(found.mean), interval, str(found.n), str(found.diverged)]
        yield f"| {' | '.join(plain(cell) for cell in cells)} |"


def _diagnosis(facts: CardFacts) -> Iterator[str]:
    headline, *findings = facts.diagnosis
    yield "## Diagnosis"
    yield ""
    yield plain(headline)
    if findings:
        yield ""
        yield from (f"- {plain(finding)}" for finding in findings)


def _spec(facts: CardFacts) -> Iterator[str]:
    yield "## Spec"
    yield ""
    yield "```json"
    yield json.dumps(facts.spec, indent=2, ensure_ascii=True).replace("`", "\\u0060")
    yield "```"


def _named(part: Mapping[str, Any]) -> str:
    """Return the kind of a component with its other settings."""
    hidden = ("kind", "resolved", "predict", "features", "split", "prepare", "scaling", "target_scaling", "upload")
    others = [f"{name} {_value(value)}" for name, value in part.items() if name not in hidden and value is not None]
    return str(part["kind"]) + (f" ({', '.join(others)})" if others else "")


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
