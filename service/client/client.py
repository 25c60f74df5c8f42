"""`Client`: everything the API offers, as typed Python; nothing is printed and nothing waits longer than it says."""

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol

from service.client import address, checkpoints, documents, files, following, frames, reading
from service.client.curves import Curve
from service.client.errors import Unusable
from service.client.following import Event
from service.client.http import Http, Json
from service.client.views import (
    Checkpoint,
    Comparison,
    Dataset,
    Diagnosis,
    Experiment,
    ExperimentItem,
    Key,
    Kind,
    Reading,
    Replay,
    Run,
    Storage,
    Verification,
    Worker,
)

PAGE = 200


class Normalised(Protocol):
    """A spec as an object of `service.spec`, which this package need not import."""

    def normalised(self) -> Json:
        """The document."""


Spec = Mapping[str, Any] | str | Path | Normalised


class Client:
    """One server. Address and key: given, else SADDLE_URL and SADDLE_KEY, else those of a server on this machine."""

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        self.http = Http(address.find(url, key))

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; what was submitted goes on."""
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
    ) -> Experiment:
        """Post a spec: a mapping, a path, "preset:NAME", or an Experiment; `changes` like "optimizer.lr=0.1".

        An answer that was lost is asked for again under the same idempotency key: nothing is trained twice.
        """
        document = documents.changed(_document(spec), changes)
        if seeds is not None:
            document |= {"seeds": list(seeds)}
            document.pop("restarts", None)
        query = {"dry_run": "true"} if dry_run else None
        key = idempotency_key or secrets.token_hex(16)
        return Experiment.of(self.http.post("/v1/experiments", document, query, key))

    def experiments(
        self,
        limit: int = 50,
        *,
        filter: str | None = None,
        sort: str | None = None,
        columns: Sequence[str] = (),
        archived: bool = False,
    ) -> Iterator[ExperimentItem]:
        """The newest experiments, or the first in the order of `sort`, fetched as they are asked for.

        `filter` like "optimizer.kind = adam AND best(val/loss) < 0.2"; `sort` like "-best(val/accuracy)"; `columns` are
        fields of the spec and figures that each item shall have under `values`.
        """
        asked = {"filter": filter, "sort": sort, "columns": ",".join(columns) or None}
        query = asked | {"archived": "true" if archived else None}
        return map(ExperimentItem.of, self._pages("/v1/experiments", limit, query))

    def experiment(self, experiment_id: str) -> Experiment:
        """One experiment with its runs."""
        return Experiment.of(self.http.get(f"/v1/experiments/{_part(experiment_id)}"))

    def cancel_experiment(self, experiment_id: str) -> Experiment:
        """Cancel every run of it that has not ended."""
        return Experiment.of(self.http.post(f"/v1/experiments/{_part(experiment_id)}/cancel"))

    def label(
        self,
        experiment_id: str,
        *,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        notes: str | None = None,
        if_match: str | None = None,
    ) -> Experiment:
        """Write what is given on it; the rest, and the posted spec, stay as they are.

        With `if_match`, the `etag` of the experiment as it was read, `Refused` (412) where somebody changed it since.
        """
        said = {"name": name, "tags": None if tags is None else list(tags), "notes": notes}
        written = {key: value for key, value in said.items() if value is not None}
        return Experiment.of(self.http.patch(f"/v1/experiments/{_part(experiment_id)}", written, if_match))

    def archive(self, experiment_id: str, away: bool = True) -> Experiment:
        """Put it away, so that lists leave it out, or bring it back."""
        word = "archive" if away else "unarchive"
        return Experiment.of(self.http.post(f"/v1/experiments/{_part(experiment_id)}/{word}"))

    def storage(self, experiment_id: str | None = None, limit: int = 20) -> Storage:
        """What the project, or one experiment, takes; the `limit` runs that take most are told one by one."""
        return Storage.of(self.http.get("/v1/storage", {"experiment": experiment_id, "limit": limit}))

    def delete(self, experiment_id: str) -> None:
        """Delete it for good, with its runs, curves and checkpoints; refused while one of its runs has not ended."""
        self.http.delete(f"/v1/experiments/{_part(experiment_id)}")

    # Runs

    def runs(
        self, limit: int = 50, state: str | None = None, *, filter: str | None = None, sort: str | None = None
    ) -> Iterator[Run]:
        """The newest runs, or the newest in one state; filtered and sorted as experiments are."""
        return map(Run.of, self._pages("/v1/runs", limit, {"state": state, "filter": filter, "sort": sort}))

    def run(self, run_id: str) -> Run:
        """One run with the summaries of its series."""
        return Run.of(self.http.get(f"/v1/runs/{_part(run_id)}"))

    def attempts(self, run_id: str) -> list[Json]:
        """Who executed the run, from which step, and how it ended."""
        return list(self.http.get(f"/v1/runs/{_part(run_id)}/attempts")["items"])

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
        """Curves as numpy arrays: every point, or at most `points` buckets that keep each minimum and maximum."""
        asked: Json = {"names": None if names is None else ",".join(names), "points": points, "x": x}
        return reading.series(self.http, _part(run_id), asked | {"from": first, "to": last})

    def readings(self, run_id: str, kind: str | None = None, limit: int = 1000) -> Iterator[Reading]:
        """What its probes found beside their series, oldest first; only those of one `kind`, where it is given."""
        path, query = f"/v1/runs/{_part(run_id)}/readings", {"kind": kind} if kind else {}
        return map(Reading.of, self._pages(path, limit, query))

    def frame(self, runs: str | Sequence[str], names: Sequence[str] | None = None) -> Any:
        """Every point of the runs as a pandas frame: run, seed, series, step, value, ...; `Unusable` without pandas."""
        pandas = frames.library("pandas")
        ids = [runs] if isinstance(runs, str) else list(runs)
        return pandas.DataFrame(frames.joined(self.columns(ids, names)))

    def columns(self, run_ids: Iterable[str], names: Sequence[str] | None = None) -> Iterator[frames.Columns]:
        """Every point of one run after the other, as plain columns of equal length."""
        known: dict[str, str] = {}
        for run in map(self.run, run_ids):
            if run.experiment_id not in known:
                known[run.experiment_id] = self.experiment(run.experiment_id).name
            there = [name for name in names or run.series if name in run.series]
            yield frames.columns(run, known[run.experiment_id], self.series(run.id, there) if there else {})

    def watch(self, run_id: str, *, since: str = "", begin: Literal["start", "latest"] = "start") -> Iterator[Event]:
        """Events until the run ends; a broken connection or a restarted server is gone over, nothing is missed."""
        return following.follow(self.http, _part(run_id), since, begin)

    # What people wish of a run

    def cancel(self, run_id: str) -> Run:
        """Stop it for good, after the step it is at."""
        return self._wish(run_id, "cancel")

    def pause(self, run_id: str) -> Run:
        """Save a checkpoint and free the worker."""
        return self._wish(run_id, "pause")

    def resume(self, run_id: str) -> Run:
        """Queue a paused run again; it goes on from its checkpoint."""
        return self._wish(run_id, "resume")

    def retry(self, run_id: str, start: Literal["checkpoint", "start"] | None = None) -> Run:
        """A new run in place of a failed or cancelled one, from its last checkpoint or from the start."""
        return self._wish(run_id, "retry", {"from": start} if start else {})

    def fork(
        self,
        run_id: str,
        step: int | None = None,
        changes: Sequence[str] | Mapping[str, Any] = (),
        name: str | None = None,
    ) -> Experiment:
        """A new experiment that goes on from a checkpoint (the newest, or that of `step`) with a changed spec."""
        changed = dict(changes) if isinstance(changes, Mapping) else documents.changed({}, changes)
        body: Json = {"changes": changed} | ({} if step is None else {"step": step}) | ({"name": name} if name else {})
        key = secrets.token_hex(16)
        return Experiment.of(self.http.post(f"/v1/runs/{_part(run_id)}/forks", body, idempotency_key=key))

    def replay(self, run_id: str, steps: int | None = None) -> Run:
        """Train it again, whole or its first steps, to see whether the numbers are the same bit for bit."""
        return self._wish(run_id, "replay", {} if steps is None else {"steps": steps})

    def replays(self, run_id: str) -> list[Replay]:
        """The run's replays, and whether each came out the same."""
        return [Replay.of(each) for each in self.http.get(f"/v1/runs/{_part(run_id)}/replays")["items"]]

    def probe(self, run_id: str, probes: Sequence[str | Mapping[str, Any]], step: int | None = None) -> Run:
        """Have instruments look at a kept state of the run (the newest, or that of `step`), as a run of its own.

        An instrument is its kind, or a mapping that has its fields too.
        """
        named: list[Json] = [{"kind": each} if isinstance(each, str) else dict(each) for each in probes]
        return self._wish(run_id, "probes", {"probes": named} | ({} if step is None else {"step": step}))

    def probes(self, run_id: str) -> list[Run]:
        """The jobs by which instruments looked at the run."""
        return [Run.of(each) for each in self.http.get(f"/v1/runs/{_part(run_id)}/probes")["items"]]

    def verify(self, run_id: str, finding: str, seeds: int = 1) -> Verification:
        """Try the remedy of a finding of the run's diagnosis: with it and without, each for so many seeds."""
        path, key = f"/v1/runs/{_part(run_id)}/diagnosis/{_part(finding)}/verify", secrets.token_hex(16)
        return Verification.of(self.http.post(path, {"seeds": seeds}, idempotency_key=key))

    def verifications(self, run_id: str, finding: str) -> list[Verification]:
        """Each time that remedy was tried, and whether it helped."""
        found = self.http.get(f"/v1/runs/{_part(run_id)}/diagnosis/{_part(finding)}/verify")
        return [Verification.of(each) for each in found["items"]]

    def autopsy_script(self, run_id: str) -> str:
        """A Python program that makes the step again in which a diverged run's numbers were first none."""
        return self.http.text(f"/v1/runs/{_part(run_id)}/autopsy.py")

    def _wish(self, run_id: str, wish: str, body: Json | None = None) -> Run:
        key = None if body is None else secrets.token_hex(16)  # with a body it makes a run: once, however often asked
        return Run.of(self.http.post(f"/v1/runs/{_part(run_id)}/{wish}", body, idempotency_key=key))

    def diagnosis(self, run_id: str) -> Diagnosis:
        """Why it learned or did not, also while it trains: findings with evidence, and patches of the spec."""
        return Diagnosis.of(self.http.get(f"/v1/runs/{_part(run_id)}/diagnosis"))

    def diagnosis_text(self, run_id: str) -> str:
        """The same as a short text."""
        return self.http.text(f"/v1/runs/{_part(run_id)}/diagnosis")

    # Comparisons

    def compare(
        self, experiments: Sequence[str] = (), series: Sequence[str] | None = None, **question: Any
    ) -> Comparison:
        """Groups of runs against each other: of experiments or runs by id, or of all that `filter=` keeps.

        The first of `series` is ranked; None: val/loss where it was measured, else val/accuracy, else loss. `question`
        is whatever else a comparison can be asked.
        """
        kind = "runs" if all(each.startswith("run_") for each in experiments) else "experiments"
        named = {kind: list(experiments)} if experiments else {}
        chosen = {} if series is None else {"series": list(series)}
        return Comparison.of(self.http.post("/v1/comparisons", {**named, **chosen, **question}))

    def comparison(self, comparison_id: str) -> Comparison:
        """A stored comparison, answered with what is known now."""
        return Comparison.of(self.http.get(f"/v1/comparisons/{_part(comparison_id)}"))

    def confirm(self, comparison_id: str, seeds: int | None = None, groups: Sequence[str] | None = None) -> Comparison:
        """Train its contestants, or those of some groups, from fresh seeds; its `confirmation` judges by these alone.

        Asking again answers with the confirmation there is.
        """
        order = {"seeds": seeds, "groups": list(groups) if groups else None}
        path, key = f"/v1/comparisons/{_part(comparison_id)}/confirm", secrets.token_hex(16)
        return Comparison.of(self.http.post(path, order, idempotency_key=key))

    # What can be chosen

    def catalog(self) -> dict[str, list[Kind]]:
        """Family -> its parts."""
        found = self.http.get("/v1/catalog")["items"]
        return {each["family"]: [Kind.of(kind) for kind in each["items"]] for each in found}

    def kind(self, family: str, kind: str) -> Kind:
        """One part with its fields."""
        return Kind.of(self.http.get(f"/v1/catalog/{_part(family)}/{_part(kind)}"))

    def family(self, family: str) -> list[Kind]:
        """The parts of one family."""
        return [Kind.of(kind) for kind in self.http.get(f"/v1/catalog/{_part(family)}")["items"]]

    def preset(self, name: str) -> Json:
        """The spec of a preset, ready to be changed and posted."""
        found: Json = self.http.get(f"/v1/presets/{_part(name)}")
        return found

    def presets(self) -> dict[str, str]:
        """Name -> what it shows."""
        return {each["name"]: each["notes"] for each in self.http.get("/v1/presets")["items"]}

    def preview(
        self, schedule: str | Mapping[str, Any], lr: float, steps: int, points: int | Literal["exact"] = 200
    ) -> Curve:
        """The exact rate at evenly spread steps, before anything runs."""
        chosen = {"kind": schedule} if isinstance(schedule, str) else dict(schedule)
        body = {"schedule": chosen, "lr": lr, "steps": steps, "points": points}
        found = self.http.post("/v1/schedules/preview", body)
        return Curve.of({"step": found["steps"], "value": found["rates"]})

    # The rest

    def upload(
        self, file: str | Path, name: str | None = None, format: str | None = None, header: bool | None = None
    ) -> Dataset:
        """Store a CSV, JSON, Parquet, NPZ or text file, to be trained on by the id of the answer.

        `-` is standard input. The name is that of the file, with a mark for what no name can hold. `header`: whether
        the first line of a CSV names its columns; None: the server finds out.
        """
        path = Path(file)
        query = {"name": name or files.label(path), "format": format, "header": header}
        with files.opened(path) as content:
            return Dataset.of(self.http.put_file("/v1/datasets", content, query))

    def datasets(self, limit: int = 50) -> Iterator[Dataset]:
        """The newest uploads."""
        return map(Dataset.of, self._pages("/v1/datasets", limit))

    def delete_dataset(self, dataset_id: str) -> None:
        """Delete an upload and its file; refused while an experiment trains on it."""
        self.http.delete(f"/v1/datasets/{_part(dataset_id)}")

    def api_keys(self, limit: int = 1000, *, closed: bool = False) -> Iterator[Key]:
        """The project's API keys, newest first; with `closed`, revoked and expired ones too."""
        return map(Key.of, self._pages("/v1/keys", limit, {"closed": "true" if closed else None}))

    def create_key(self, name: str, lifetime_s: float | None = None) -> Key:
        """A further key for the member whose key asks; only this answer holds it whole."""
        return Key.of(self.http.post("/v1/keys", {"name": name, "lifetime_s": lifetime_s}))

    def revoke_key(self, key_id: str) -> Key:
        """End a key from the next request on; refused for the one that asks."""
        return Key.of(self.http.post(f"/v1/keys/{_part(key_id)}/revoke"))

    def workers(self) -> list[Worker]:
        """Who trains, on what device, and what."""
        return [Worker.of(each) for each in self.http.get("/v1/workers")["items"]]

    def checkpoints(self, run_id: str) -> list[Checkpoint]:
        """The kept states of a run, as the server lists them."""
        return [Checkpoint.of(each) for each in self.http.get(f"/v1/runs/{_part(run_id)}/checkpoints")["items"]]

    def download(self, run_id: str, step: int, target: str | Path) -> Path:
        """One kept state as a new folder (tensors.safetensors, state.json), checked against its hash."""
        return checkpoints.download(self.http, _part(run_id), self.checkpoints(run_id), step, Path(target))

    def _pages(self, path: str, limit: int, query: Mapping[str, str | None] | None = None) -> Iterator[Json]:
        cursor: str | None = None
        while limit > 0:
            page = self.http.get(path, {**(query or {}), "limit": min(limit, PAGE), "cursor": cursor})
            yield from page["items"]
            limit -= len(page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return


def _document(spec: Spec) -> Json:
    if isinstance(spec, str):
        return documents.read(spec)
    if isinstance(spec, Path):
        return documents.read_file(spec)
    return dict(spec) if isinstance(spec, Mapping) else spec.normalised()


def _part(text: str) -> str:
    """A piece of a path; anything that would leave its place is refused here."""
    if not text or any(not (c.isascii() and (c.isalnum() or c in "_-.")) for c in text) or text in (".", ".."):
        raise Unusable(f"{text!r} is no id or name of Saddle's")
    return text
