"""Routes of the symptom library: trainings that are broken on purpose, and healthy ones, ready to be posted."""

from fastapi import APIRouter

from service.errors import NotFound
from service.schemas.common import Json, View
from service.symptoms.library import Level, Symptom, Verdict, symptoms

router = APIRouter(prefix="/v1", tags=["catalog"])


class SymptomView(View):
    """A training and the diagnosis that is right."""

    name: str
    about: str
    level: Level
    verdicts: list[Verdict]
    helps: bool
    document: Json


class Symptoms(View):
    """The whole library."""

    items: list[SymptomView]


@router.get("/symptoms", operation_id="list_symptoms")
def list_symptoms() -> Symptoms:
    """Broken and healthy trainings, each with its document and the diagnosis that is right."""
    return Symptoms(items=[_view(name, symptom) for name, symptom in symptoms().items()])


@router.get("/symptoms/{name}", operation_id="get_symptom")
def get_symptom(name: str) -> SymptomView:
    """One of them."""
    if name not in symptoms():
        raise NotFound("There is no such symptom; GET /v1/symptoms lists them.")
    return _view(name, symptoms()[name])


def _view(name: str, symptom: Symptom) -> SymptomView:
    return SymptomView.of(symptom.expect, name=name, about=symptom.about, document=symptom.document(name))
