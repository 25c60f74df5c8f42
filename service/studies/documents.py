"""A posted document of a study: as it is, or a preset's for a base, with the fields that differ."""

from typing import Any

from service.schemas.studies.analysis import StudyPresets, StudyPresetView
from service.spec.component import Json
from service.spec.parse.presets import merge_patch, split_preset
from service.studies.presets import PRESETS, study_document

EXAMPLE: Json = {"preset": "digits-adam"}  # the base that presets are shown for


def expand(document: Any) -> Any:
    """Return the document with its preset filled in; raise `Invalid` for an unknown one."""
    if not isinstance(document, dict) or not isinstance(document.get("preset"), str):
        return document
    own = {key: value for key, value in document.items() if key not in ("preset", "base")}
    base = document.get("base", EXAMPLE)
    whole = merge_patch(*split_preset(base)) if isinstance(base, dict) else {}
    return {**merge_patch(study_document(document["preset"], whole), own), "base": base}


def study_presets() -> StudyPresets:
    """Return every preset, for a base of digits."""
    return StudyPresets(
        items=[
            StudyPresetView(name=each.name, question=each.question, document=expand({"preset": each.name}))
            for each in PRESETS.values()
        ]
    )
