"""The methods of `Client` for what can be chosen, and what is there to train on and with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from service.client import answers
from service.client.http import Json
from service.client.nouns.base import NounClient
from service.client.paths import part

if TYPE_CHECKING:
    from service.client.curves import Curve
    from service.schemas.catalog import KindDetail
    from service.schemas.workers import WorkerView


class CatalogClient(NounClient):
    """The part of `Client` for the catalogue, presets and workers."""

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

    def workers(self) -> list[WorkerView]:
        """Return the workers, their devices and what they train."""
        return [answers.worker(each) for each in self._items("/v1/workers")]
