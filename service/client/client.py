"""`Client`: everything the API offers, as typed Python; nothing is printed and nothing waits longer than it says."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from service.client import address, answers, checkpoints, documents, export, files, following
from service.client.admin import AdminClient
from service.client.http import Http, Json
from service.client.paths import flag, part
from service.client.studies.calls import StudyClient
from service.client.team import TeamClient
from service.lifecycle import TERMINAL

if TYPE_CHECKING:
    from types import TracebackType

    from service.client.curves import Curve
    from service.client.following import Event
    from service.schemas.catalog import KindDetail
    from service.schemas.checkpoints import CheckpointView
    from service.schemas.comparisons import ComparisonView
    from service.schemas.datasets import DatasetView
    from service.schemas.diagnosis import DiagnosisView
    from service.schemas.experiments import ExperimentItem, ExperimentView, PostedExperiment
    from service.schemas.predictions import PredictionView
    from service.schemas.probe_results import ReadingView
    from service.schemas.replays import ReplayView
    from service.schemas.run_split import SplitView
    from service.schemas.runs import LogLineView, RunView
    from service.schemas.storage import StorageView
    from service.schemas.verifications import VerificationView
    from service.schemas.workers import WorkerView


class Normalised(Protocol):
    """A spec as an object of `service.spec`, which this package need not import."""

    def normalised(self) -> Json:
        """Return the document."""


Spec = Mapping[str, Any] | str | Path | Normalised
LOG_PAGE = 1000  # lines
PREDICTION_PAUSE_S = 1.0  # between two looks for an answer; the server itself waits for ten seconds


class Client(TeamClient, AdminClient, StudyClient):
    """One server. Address and key: given, else SADDLE_URL and SADDLE_KEY, else those of a server on this machine."""

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        self.http = Http(address.find(url, key))

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; what was submitted continues."""
        self.http.close()

    # Experiments

    def submit(
        self,
        spec: Spec,
        *,
        seeds: Iterable[int] | None = None,
        changes: Sequence[str] = (),
        dry_run: bool = False,
        idempotency_key: str | None = None,
    ) -> PostedExperiment:
        """Post a spec: a mapping, a path, "preset:NAME", or an Experiment; `changes` like "optimizer.lr=0.1".

        If the answer is lost, the request is repeated with the same idempotency key, so nothing is trained twice.
        """
        document = documents.apply_changes(_document(spec), changes)
        if seeds is not None:
            document |= {"seeds": list(seeds)}
            document.pop("restarts", None)
        query = {"dry_run": "true"} if dry_run else None
        return answers.posted_experiment(self._create("/v1/experiments", document, query, idempotency_key))

    def experiments(
        self,
        limit: int = 50,
        *,
        filter: str | None = None,
        sort: str | None = None,
        columns: Sequence[str] = (),
        archived: bool = False,
    ) -> Iterator[ExperimentItem]:
        """Yield the newest experiments, or the first in the order of `sort`; pages are fetched as they are needed.

        `filter` like "optimizer.kind = adam AND best(val/loss) < 0.2"; `sort` like "-best(val/accuracy)"; `columns` are
        fields of the spec and figures, which each item then has under `values`.
        """
        query = {"filter": filter, "sort": sort, "columns": ",".join(columns) or None, "archived": flag(archived)}
        return map(answers.experiment_item, self.http.pages("/v1/experiments", limit, query))

    def experiment(self, experiment_id: str) -> ExperimentView:
        """Return one experiment with its runs."""
        return answers.experiment(self.http.get(f"/v1/experiments/{part(experiment_id)}"))

    def cancel_experiment(self, experiment_id: str) -> ExperimentView:
        """Cancel every run of an experiment that has not ended."""
        return answers.experiment(self.http.post(f"/v1/experiments/{part(experiment_id)}/cancel"))

    def label(
        self,
        experiment_id: str,
        *,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        notes: str | None = None,
        if_match: str | None = None,
    ) -> ExperimentView:
        """Change name, tags or notes, whichever are given; the posted spec stays as it is.

        With `if_match`, the `etag` of the experiment as it was read, raise `Refused` (412) if it has changed since.
        """
        labels = {"name": name, "tags": None if tags is None else list(tags), "notes": notes}
        given = {key: value for key, value in labels.items() if value is not None}
        return answers.experiment(self.http.patch(f"/v1/experiments/{part(experiment_id)}", given, if_match))

    def archive(self, experiment_id: str, away: bool = True) -> ExperimentView:
        """Archive an experiment, so that lists leave it out, or bring it back."""
        action = "archive" if away else "unarchive"
        return answers.experiment(self.http.post(f"/v1/experiments/{part(experiment_id)}/{action}"))

    def storage(self, experiment_id: str | None = None, limit: int = 20) -> StorageView:
        """Return the bytes of the project, or of one experiment, and the `limit` largest runs."""
        return answers.storage(self.http.get("/v1/storage", {"experiment": experiment_id, "limit": limit}))

    # Runs

    def runs(
        self, limit: int = 50, state: str | None = None, *, filter: str | None = None, sort: str | None = None
    ) -> Iterator[RunView]:
        """Yield the newest runs, or the newest in one state; filtered and sorted as experiments are."""
        return map(answers.run, self.http.pages("/v1/runs", limit, {"state": state, "filter": filter, "sort": sort}))

    def run(self, run_id: str) -> RunView:
        """Return one run with the summaries of its series."""
        return answers.run(self.http.get(f"/v1/runs/{part(run_id)}"))

    def attempts(self, run_id: str) -> list[Json]:
        """Return who executed the run, from which step, and how it ended."""
        return self._items(f"/v1/runs/{part(run_id)}/attempts")

    def log(self, run_id: str, after: str | None = None) -> Iterator[LogLineView]:
        """Yield the lines of a run's log that it has now, oldest first; only those after the place ATTEMPT.NUMBER."""
        while True:
            page = self.http.get(f"/v1/runs/{part(run_id)}/log", {"limit": LOG_PAGE, "cursor": after})
            yield from map(answers.log_line, page["items"])
            if (after := page["next_cursor"]) is None:
                return

    def series(
        self,
        run_id: str,
        names: Sequence[str] | None = None,
        *,
        points: int | Literal["all"] = "all",
        x: Literal["step", "epoch"] = "step",
        first: float | None = None,
        last: float | None = None,
    ) -> dict[str, Curve]:
        """Return curves as numpy arrays: every point, or at most `points` buckets that keep every extreme."""
        from service.client.curves import fetch_curves  # noqa: PLC0415  numpy takes 0.1 s

        query = {"names": None if names is None else ",".join(names), "points": points, "x": x}
        return fetch_curves(self.http, part(run_id), query | {"from": first, "to": last})

    def readings(self, run_id: str, kind: str | None = None, limit: int = 1000) -> Iterator[ReadingView]:
        """Yield what its probes found beyond their series, oldest first; with `kind` only those of one kind."""
        return map(answers.reading, self.http.pages(f"/v1/runs/{part(run_id)}/readings", limit, {"kind": kind}))

    def frame(self, runs: str | Sequence[str], names: Sequence[str] | None = None) -> Any:
        """Return every point of the runs as a pandas frame: run, seed, series, step, value, ..."""
        from service.client.frames import concatenate  # noqa: PLC0415

        pandas = export.library("pandas")
        return pandas.DataFrame(concatenate(self.columns([runs] if isinstance(runs, str) else runs, names)))

    def columns(self, run_ids: Iterable[str], names: Sequence[str] | None = None) -> Iterator[export.Columns]:
        """Yield every point of one run after the other, as plain columns of equal length."""
        from service.client.frames import to_columns  # noqa: PLC0415

        experiment_names: dict[str, str] = {}
        for run in map(self.run, run_ids):
            if run.experiment_id not in experiment_names:
                experiment_names[run.experiment_id] = self.experiment(run.experiment_id).name
            known = [name for name in names or run.series if name in run.series]
            curves = self.series(run.id, known) if known else {}
            yield to_columns(run, experiment_names[run.experiment_id], curves)

    def watch(self, run_id: str, *, since: str = "", begin: Literal["start", "latest"] = "start") -> Iterator[Event]:
        """Yield events until the run ends, across lost connections and server restarts; none is missed."""
        return following.follow(self.http, part(run_id), since, begin)

    # Commands on a run

    def cancel(self, run_id: str) -> RunView:
        """Stop it for good after the current step."""
        return self._command(run_id, "cancel")

    def pause(self, run_id: str) -> RunView:
        """Save a checkpoint and free the worker."""
        return self._command(run_id, "pause")

    def resume(self, run_id: str) -> RunView:
        """Queue a paused run again; it continues from its checkpoint."""
        return self._command(run_id, "resume")

    def retry(self, run_id: str, start: Literal["checkpoint", "start"] | None = None) -> RunView:
        """Replace a failed or cancelled run by a new one, from its last checkpoint or from the start."""
        return self._derive(run_id, "retry", {"from": start} if start else {})

    def fork(
        self,
        run_id: str,
        step: int | None = None,
        changes: Sequence[str] | Mapping[str, Any] = (),
        name: str | None = None,
    ) -> PostedExperiment:
        """Create an experiment that continues from a checkpoint (the newest, or that of `step`) with a changed spec."""
        changed = dict(changes) if isinstance(changes, Mapping) else documents.apply_changes({}, changes)
        body = {"changes": changed, "step": step, "name": name or None}
        return answers.posted_experiment(self._create(f"/v1/runs/{part(run_id)}/forks", body))

    def replay(self, run_id: str, steps: int | None = None) -> RunView:
        """Train it again, fully or its first steps, to see whether the numbers are the same bit for bit."""
        return self._derive(run_id, "replay", {"steps": steps})

    def replays(self, run_id: str) -> list[ReplayView]:
        """Return the run's replays, and whether each came out the same."""
        return [answers.replay(each) for each in self._items(f"/v1/runs/{part(run_id)}/replays")]

    def probe(self, run_id: str, probes: Sequence[str | Mapping[str, Any]], step: int | None = None) -> RunView:
        """Run probes on a checkpoint (the newest, or that of `step`), as a run of its own.

        A probe is its kind, or a mapping that has its fields too.
        """
        named: list[Json] = [{"kind": each} if isinstance(each, str) else dict(each) for each in probes]
        return self._derive(run_id, "probes", {"probes": named, "step": step})

    def probes(self, run_id: str) -> list[RunView]:
        """Return the probe jobs of the run."""
        return [answers.run(each) for each in self._items(f"/v1/runs/{part(run_id)}/probes")]

    def predict(self, run_id: str, rows: Sequence[Any], weights: int | str = "last") -> PredictionView:
        """Predict a few rows, given as they are in the data, with the kept weights of the run; wait for a worker.

        `weights`: last, best, or the step of a checkpoint.
        """
        found = answers.prediction(
            self._create(f"/v1/runs/{part(run_id)}/predict", {"rows": list(rows), "weights": weights})
        )
        while found.state not in TERMINAL:
            time.sleep(PREDICTION_PAUSE_S)
            found = answers.prediction(self.http.get(f"/v1/runs/{part(run_id)}/predictions/{part(found.id)}"))
        return found

    def verify(self, run_id: str, finding: str, seeds: int = 1) -> VerificationView:
        """Try the remedy of a finding: train with and without it, each for this many seeds."""
        path = f"/v1/runs/{part(run_id)}/diagnosis/{part(finding)}/verify"
        return answers.verification(self._create(path, {"seeds": seeds}))

    def verifications(self, run_id: str, finding: str) -> list[VerificationView]:
        """Return each time that the remedy was tried, and whether it helped."""
        found = self._items(f"/v1/runs/{part(run_id)}/diagnosis/{part(finding)}/verify")
        return [answers.verification(each) for each in found]

    def autopsy_script(self, run_id: str) -> str:
        """Return a Python program that repeats the step in which a diverged run's numbers became non-finite."""
        return self.http.text(f"/v1/runs/{part(run_id)}/autopsy.py")

    def diagnosis(self, run_id: str) -> DiagnosisView:
        """Return why it learned or did not, also while it trains: findings with evidence, and patches of the spec."""
        return answers.diagnosis(self.http.get(f"/v1/runs/{part(run_id)}/diagnosis"))

    def diagnosis_text(self, run_id: str) -> str:
        """Return the diagnosis as a short text."""
        return self.http.text(f"/v1/runs/{part(run_id)}/diagnosis")

    # Comparisons

    def compare(
        self, experiments: Sequence[str] = (), series: Sequence[str] | None = None, **question: Any
    ) -> ComparisonView:
        """Compare groups of runs: of experiments or runs by id, or of all experiments that match `filter=`.

        The first of `series` is ranked; None: val/loss where it was measured, else val/accuracy, else loss. `question`
        is any other field of a comparison.
        """
        kind = "runs" if all(each.startswith("run_") for each in experiments) else "experiments"
        named = {kind: list(experiments)} if experiments else {}
        chosen = {} if series is None else {"series": list(series)}
        return answers.comparison(self.http.post("/v1/comparisons", {**named, **chosen, **question}))

    def comparison(self, comparison_id: str) -> ComparisonView:
        """Return a stored comparison, answered with what is known now."""
        return answers.comparison(self.http.get(f"/v1/comparisons/{part(comparison_id)}"))

    def confirm(
        self, comparison_id: str, seeds: int | None = None, groups: Sequence[str] | None = None
    ) -> ComparisonView:
        """Train its contestants, or those of some groups, from fresh seeds; `confirmation` judges by these alone.

        Asking again returns the confirmation that exists.
        """
        body = {"seeds": seeds, "groups": list(groups) if groups else None}
        return answers.comparison(self._create(f"/v1/comparisons/{part(comparison_id)}/confirm", body))

    def extend_confirmation(self, comparison_id: str, seeds: int) -> ComparisonView:
        """Train its contestants from `seeds` further fresh ones; from then on `confirmation.sequential` alone tells.

        If the answer is lost, or somebody extends it meanwhile, the same request again is refused (409).
        """
        held = self.comparison(comparison_id).confirmation
        body = {"seeds": seeds, "after": len(held.seeds) if held else None}
        return answers.comparison(self.http.post(f"/v1/comparisons/{part(comparison_id)}/confirm/extend", body))

    # What can be chosen

    def catalog(self) -> dict[str, list[KindDetail]]:
        """Return family -> its parts."""
        return {each["family"]: [answers.kind(kind) for kind in each["items"]] for each in self._items("/v1/catalog")}

    def kind(self, family: str, kind: str) -> KindDetail:
        """Return one part with its fields."""
        return answers.kind(self.http.get(f"/v1/catalog/{part(family)}/{part(kind)}"))

    def family(self, family: str) -> list[KindDetail]:
        """Return the parts of one family."""
        return [answers.kind(kind) for kind in self._items(f"/v1/catalog/{part(family)}")]

    def preset(self, name: str) -> Json:
        """Return the spec of a preset, ready to be changed and posted."""
        found: Json = self.http.get(f"/v1/presets/{part(name)}")
        return found

    def presets(self) -> dict[str, str]:
        """Return name -> what the preset shows."""
        return {each["name"]: each["notes"] for each in self._items("/v1/presets")}

    def preview(
        self, schedule: str | Mapping[str, Any], lr: float, steps: int, points: int | Literal["exact"] = 200
    ) -> Curve:
        """Return the exact rate at evenly spread steps, before anything runs."""
        from service.client.curves import Curve  # noqa: PLC0415

        chosen = {"kind": schedule} if isinstance(schedule, str) else dict(schedule)
        body = {"schedule": chosen, "lr": lr, "steps": steps, "points": points}
        found = self.http.post("/v1/schedules/preview", body)
        return Curve.of({"step": found["steps"], "value": found["rates"]})

    # Uploads, workers, checkpoints

    def upload(
        self, file: str | Path, name: str | None = None, format: str | None = None, header: bool | None = None
    ) -> DatasetView:
        """Store a CSV, JSON, Parquet, NPZ or text file; a spec trains on it by the id in the answer.

        `-` is standard input. The name is that of the file, with a mark for what no name can hold. `header`: whether
        the first line of a CSV names its columns; None: the server finds out.
        """
        path = Path(file)
        query = {"name": name or files.label(path), "format": format, "header": header}
        with files.open_upload(path) as content:
            return answers.dataset(self.http.put_file("/v1/datasets", content, query))

    def datasets(self, limit: int = 50) -> Iterator[DatasetView]:
        """Yield the newest uploads."""
        return map(answers.dataset, self.http.pages("/v1/datasets", limit))

    def workers(self) -> list[WorkerView]:
        """Return the workers, their devices and what they train."""
        return [answers.worker(each) for each in self._items("/v1/workers")]

    def checkpoints(self, run_id: str) -> list[CheckpointView]:
        """Return the checkpoints of a run, newest first."""
        return [answers.checkpoint(each) for each in self._items(f"/v1/runs/{part(run_id)}/checkpoints")]

    def download(self, run_id: str, step: int, target: str | Path) -> Path:
        """Save one checkpoint as a new folder (tensors.safetensors, state.json), checked against its hash."""
        return checkpoints.download(self.http, part(run_id), self.checkpoints(run_id), step, Path(target))

    def model(
        self, run_id: str, target: str | Path, step: int | None = None, weights: Literal["model", "average"] = "model"
    ) -> Path:
        """Save a trained model as a new folder: weights, spec, card, and load.py, which needs no Saddle."""
        query = {"weights": weights, "step": step}
        return checkpoints.download_model(self.http, f"/v1/runs/{part(run_id)}/model", query, Path(target))

    def predictions(self, run_id: str, target: str | Path) -> Path:
        """Save the predictions on the validation part, of a run whose spec has `predictions`, as a new Parquet file."""
        return checkpoints.download_file(self.http, f"/v1/runs/{part(run_id)}/predictions", Path(target))

    def split(self, run_id: str) -> SplitView:
        """Return which rows of its uploaded table a run trains on, validates on and tests on."""
        return answers.split(self.http.get(f"/v1/runs/{part(run_id)}/split"))

    def model_card(self, run_id: str) -> str:
        """Return the model card: data, settings, results with intervals over the seeds, diagnosis; as markdown."""
        return self.http.text(f"/v1/runs/{part(run_id)}/card.md")

    def _command(self, run_id: str, command: str) -> RunView:
        return answers.run(self.http.post(f"/v1/runs/{part(run_id)}/{command}"))

    def _derive(self, run_id: str, command: str, body: Json) -> RunView:
        return answers.run(self._create(f"/v1/runs/{part(run_id)}/{command}", body))

    def _create(
        self, path: str, body: Json, query: Mapping[str, str] | None = None, idempotency_key: str | None = None
    ) -> Any:
        """Post what creates something, with a key so that it is created once however often the request is sent."""
        return self.http.post(path, body, query, idempotency_key or secrets.token_hex(16))

    def _items(self, path: str) -> list[Json]:
        return list(self.http.get(path)["items"])


def _document(spec: Spec) -> Json:
    if isinstance(spec, str):
        return documents.read(spec)
    if isinstance(spec, Path):
        return documents.read_file(spec)
    return dict(spec) if isinstance(spec, Mapping) else spec.normalised()
