"""The methods of `Client` for experiments: post one, list, label, archive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from service.client import answers, documents
from service.client.http import Json
from service.client.nouns.base import NounClient
from service.client.paths import flag, part

if TYPE_CHECKING:
    from service.schemas.experiments import ExperimentItem, ExperimentView, PostedExperiment
    from service.schemas.storage import StorageView


class Normalised(Protocol):
    """A spec as an object of `service.spec`, which this package need not import."""

    def normalised(self) -> Json:
        """Return the document."""


Spec = Mapping[str, Any] | str | Path | Normalised


class ExperimentClient(NounClient):
    """The part of `Client` for experiments."""

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


def _document(spec: Spec) -> Json:
    if isinstance(spec, str):
        return documents.read(spec)
    if isinstance(spec, Path):
        return documents.read_file(spec)
    return dict(spec) if isinstance(spec, Mapping) else spec.normalised()
