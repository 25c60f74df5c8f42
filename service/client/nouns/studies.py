"""The part of `Client` that concerns studies: post one, follow it, command it, confirm it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from service.client import answers
from service.client.nouns.base import NounClient
from service.client.paths import flag, part

if TYPE_CHECKING:
    from service.schemas.studies.analysis import StudyAnalysis
    from service.schemas.studies.answers import StudyItem, StudyPreview, StudyView, TrialView

TRIALS_PAGE = 1000
Verb = Literal["pause", "resume", "stop"]


class StudyClient(NounClient):
    """The part of `Client` that concerns studies."""

    def post_study(self, document: Mapping[str, Any], *, idempotency_key: str | None = None) -> StudyView:
        """Post a study, whose first trials follow within a second; sent again, it is stored once."""
        return answers.study(self._create("/v1/studies", dict(document), None, idempotency_key))

    def preview_study(self, document: Mapping[str, Any]) -> StudyPreview:
        """Check a study: its first points, what it would cost, and warnings; nothing is stored."""
        return answers.study_preview(self.http.post("/v1/studies", dict(document), {"dry_run": "true"}))

    def studies(self, limit: int = 50) -> Iterator[StudyItem]:
        """Yield the newest studies."""
        return map(answers.study_item, self.http.pages("/v1/studies", limit))

    def study(self, study_id: str) -> StudyView:
        """Return a study: its state, budget, best trial and confirmation."""
        return answers.study(self.http.get(f"/v1/studies/{part(study_id)}"))

    def trials(self, study_id: str) -> Iterator[TrialView]:
        """Yield the trials of a study by number."""
        query = {"limit": str(TRIALS_PAGE)}
        while True:
            page = self.http.get(f"/v1/studies/{part(study_id)}/trials", query)
            yield from map(answers.trial, page["items"])
            if page["next_cursor"] is None:
                return
            query["cursor"] = page["next_cursor"]

    def study_analysis(self, study_id: str) -> StudyAnalysis:
        """Return the duel of its scientific values, and which dimensions matter."""
        return answers.study_analysis(self.http.get(f"/v1/studies/{part(study_id)}/analysis"))

    def add_trial(self, study_id: str, point: Mapping[str, Any]) -> TrialView:
        """Try a point that the sampler did not choose; it counts as any other trial."""
        return answers.trial(self.http.post(f"/v1/studies/{part(study_id)}/trials", {"point": dict(point)}))

    def command_study(self, study_id: str, verb: Verb) -> StudyView:
        """Pause, resume or stop a study."""
        return answers.study(self.http.post(f"/v1/studies/{part(study_id)}/{verb}"))

    def extend_study(self, study_id: str, **more: float) -> StudyView:
        """Add `trials`, `steps` or `device_seconds` to its budget."""
        return answers.study(self.http.post(f"/v1/studies/{part(study_id)}/extend", dict(more)))

    def delete_study(self, study_id: str, forever: bool = False) -> None:
        """Put a study that has ended into the bin with its trials, or delete it for good, from the bin too."""
        self.http.delete(f"/v1/studies/{part(study_id)}", {"forever": flag(forever)})

    def restore_study(self, study_id: str) -> StudyView:
        """Take a study out of the bin, with its trials."""
        return answers.study(self.http.post(f"/v1/studies/{part(study_id)}/restore"))

    def clone_study(
        self, study_id: str, changes: Mapping[str, Any] | None = None, name: str | None = None
    ) -> StudyView:
        """Post a study that differs in `changes`, a merge patch of its document."""
        body = {"changes": dict(changes or {}), "name": name}
        return answers.study(self._create(f"/v1/studies/{part(study_id)}/clone", body))

    def confirm_study(self, study_id: str, seeds: int | None = None, against: str | None = None) -> StudyView:
        """Train its best trial and what that is held against from fresh seeds; asking again returns what exists."""
        return answers.study(
            self.http.post(f"/v1/studies/{part(study_id)}/confirm", {"seeds": seeds, "against": against})
        )
