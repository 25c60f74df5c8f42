"""The methods of `Client` for runs: read them, follow them, command them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from service.client import answers, documents, export, following
from service.client.http import Json
from service.client.nouns.base import NounClient
from service.client.paths import part
from service.lifecycle import TERMINAL

if TYPE_CHECKING:
    from service.client.curves import Curve
    from service.client.following import Event
    from service.schemas.diagnosis import DiagnosisView
    from service.schemas.experiments import PostedExperiment
    from service.schemas.predictions import PredictionView
    from service.schemas.probe_results import ReadingView
    from service.schemas.replays import ReplayView
    from service.schemas.runs import LogLineView, RunView
    from service.schemas.verifications import VerificationView


LOG_PAGE = 1000  # lines
PREDICTION_PAUSE_S = 1.0  # between two looks for an answer; the server itself waits for ten seconds


class RunClient(NounClient):
    """The part of `Client` for runs."""

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
                experiment_names[run.experiment_id] = self.http.get(f"/v1/experiments/{part(run.experiment_id)}")[
                    "name"
                ]
            known = [name for name in names or run.series if name in run.series]
            curves = self.series(run.id, known) if known else {}
            yield to_columns(run, experiment_names[run.experiment_id], curves)

    def watch(self, run_id: str, *, since: str = "", begin: Literal["start", "latest"] = "start") -> Iterator[Event]:
        """Yield events until the run ends, across lost connections and server restarts; none is missed."""
        return following.follow(self.http, part(run_id), since, begin)

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

    def predict(
        self,
        run_id: str,
        rows: Sequence[Any],
        weights: int | str = "last",
        likelihood: bool = False,
        continuation: Mapping[str, Any] | None = None,
    ) -> PredictionView:
        """Predict a few rows, given as they are in the data, with the kept weights of the run; wait for a worker.

        `weights`: last, best, or the step of a checkpoint. Of texts also: how likely their tokens are, and how they go
        on (`continuation` has length, temperature, top_k and seed).
        """
        asked: Json = {"rows": list(rows), "weights": weights}
        asked |= ({"likelihood": True} if likelihood else {}) | ({"continuation": continuation} if continuation else {})
        found = answers.prediction(self._create(f"/v1/runs/{part(run_id)}/predict", asked))
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

    def _command(self, run_id: str, command: str) -> RunView:
        return answers.run(self.http.post(f"/v1/runs/{part(run_id)}/{command}"))

    def _derive(self, run_id: str, command: str, body: Json) -> RunView:
        return answers.run(self._create(f"/v1/runs/{part(run_id)}/{command}", body))
