"""Routes of the symptom library: deliberately broken and healthy trainings, ready to post."""

from fastapi import APIRouter

from service.errors import NotFound
from service.schemas.common import Json, View
from service.symptoms.library import Level, Symptom, Verdict, symptoms

router = APIRouter(prefix="/v1", tags=["catalog"])


class SymptomView(View):
    """A training and its correct diagnosis."""

    name: str
    about: str
    level: Level
    verdicts: list[Verdict]
    helps: bool
    document: Json


class Symptoms(View):
    """The symptom library."""

    items: list[SymptomView]


@router.get("/symptoms", operation_id="list_symptoms")
def list_symptoms() -> Symptoms:
    """List broken and healthy trainings, each with its document and its correct diagnosis."""
    return Symptoms(items=[_view(name, symptom) for name, symptom in symptoms().items()])


@router.get("/symptoms/{name}", operation_id="get_symptom")
def get_symptom(name: str) -> SymptomView:
    """Return one symptom."""
    if name not in symptoms():
        raise NotFound("There is no such symptom; GET /v1/symptoms lists them.")
    return _view(name, symptoms()[name])


def _view(name: str, symptom: Symptom) -> SymptomView:
    return SymptomView.of(symptom.expect, name=name, about=symptom.about, document=symptom.document(name))
