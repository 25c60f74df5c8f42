"""Routes of the symptom library: trainings that are broken on purpose, and healthy ones, ready to be posted."""

from fastapi import APIRouter

from service.api.views import Json, View
from service.errors import NotFound
from service.spec.symptoms import Level, Symptom, Verdict, symptoms

router = APIRouter(prefix="/v1", tags=["catalog"])


class SymptomView(View):
    """A training and the diagnosis that is right."""

    name: str
    about: str
    level: Level
    verdicts: list[Verdict]
    helps: bool
    document: Json

    @classmethod
    def of(cls, name: str, symptom: Symptom) -> "SymptomView":
        """Ready to be posted."""
        expect = symptom.expect
        return cls(
            name=name,
            about=symptom.about,
            level=expect.level,
            verdicts=list(expect.verdicts),
            helps=expect.helps,
            document=symptom.document(name),
        )


class Symptoms(View):
    """The whole library."""

    items: list[SymptomView]


@router.get("/symptoms", operation_id="list_symptoms")
def list_symptoms() -> Symptoms:
    """Broken and healthy trainings, each with its document and the diagnosis that is right."""
    return Symptoms(items=[SymptomView.of(name, symptom) for name, symptom in symptoms().items()])


@router.get("/symptoms/{name}", operation_id="get_symptom")
def get_symptom(name: str) -> SymptomView:
    """One of them."""
    if name not in symptoms():
        raise NotFound("There is no such symptom; GET /v1/symptoms lists them.")
    return SymptomView.of(name, symptoms()[name])
