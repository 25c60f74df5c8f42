"""The methods of `Client` for comparisons and their confirmation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from service.client import answers
from service.client.nouns.base import NounClient
from service.client.paths import part

if TYPE_CHECKING:
    from service.schemas.comparisons import ComparisonView


class ComparisonClient(NounClient):
    """The part of `Client` for comparisons."""

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
