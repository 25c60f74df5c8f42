"""What can be chosen, over HTTP."""

import pytest
from fastapi.testclient import TestClient

from service.spec.catalog import CATALOG
from service.spec.experiment import Experiment
from service.spec.schedules.cosine import Cosine

MEMBERS = [(family, kind) for family, kinds in CATALOG.items() for kind in kinds]


def test_the_catalogue_names_every_part(shared: TestClient) -> None:
    items = shared.get("/v1/catalog").json()["items"]
    assert [(family["family"], kind["kind"]) for family in items for kind in family["items"]] == MEMBERS


@pytest.mark.parametrize(("family", "kind"), MEMBERS)
def test_every_part_tells_its_fields_with_their_defaults(shared: TestClient, family: str, kind: str) -> None:
    told = shared.get(f"/v1/catalog/{family}/{kind}").json()
    assert told["summary"]
    assert set(told["json_schema"]["properties"]) == set(CATALOG[family][kind].model_fields)
    assert told["json_schema"]["additionalProperties"] is False


def test_what_a_study_chooses_is_listed_with_its_fields(shared: TestClient) -> None:
    kinds = {name: shared.get(f"/v1/catalog/{name}").json()["items"] for name in ("dimensions", "samplers", "pruners")}
    assert {"log_uniform", "choice"} <= {each["kind"] for each in kinds["dimensions"]}
    assert {"tpe", "gp", "grid"} <= {each["kind"] for each in kinds["samplers"]}
    assert {"asha", "none"} <= {each["kind"] for each in kinds["pruners"]}
    fields = shared.get("/v1/catalog/pruners/asha").json()["json_schema"]["properties"]
    assert (fields["eta"]["minimum"], fields["eta"]["maximum"]) == (2, 10)


def test_a_family_says_which_field_of_a_spec_is_one_of_it(shared: TestClient) -> None:
    fields = {each["family"]: each["field"] for each in shared.get("/v1/catalog").json()["items"]}
    assert {field for field in fields.values() if field} == {"dataset", "model", "loss", "optimizer", "schedule"}
    assert (fields["losses"], fields["inits"], fields["probes"]) == ("loss", None, None)


def test_what_is_not_in_the_catalogue_is_not_found_and_the_choice_is_named(shared: TestClient) -> None:
    assert "optimizers" in shared.get("/v1/catalog/optimizer").json()["detail"]
    assert "adamw" in shared.get("/v1/catalog/optimizers/adamww").json()["detail"]
    assert "digits-adam" in shared.get("/v1/presets/nothing").json()["detail"]


def test_a_preview_is_the_exact_schedule_at_each_step(shared: TestClient) -> None:
    asked = {"schedule": {"kind": "cosine"}, "lr": 0.1, "steps": 50, "points": "exact"}
    answer = shared.post("/v1/schedules/preview", json=asked).json()
    assert answer["steps"] == list(range(1, 51))
    assert answer["rates"] == [Cosine().rate(0.1, s, 50) for s in range(50)]


def test_a_thinned_preview_has_both_ends(shared: TestClient) -> None:
    asked = {"schedule": {"kind": "constant"}, "lr": 0.1, "steps": 10**6, "points": 7}
    steps = shared.post("/v1/schedules/preview", json=asked).json()["steps"]
    assert (steps[0], steps[-1], len(steps)) == (1, 10**6, 7)


@pytest.mark.parametrize(
    ("schedule", "points", "pointer"),
    [
        ({"kind": "multistep", "milestones": [5, 3]}, 10, "/schedule/milestones"),
        ({"kind": "warmup", "steps": 10**7}, 10, "/schedule/steps"),
        ({"kind": "constant"}, "exact", "/points"),
        ({"kind": "constant"}, 1, "/points"),
    ],
)
def test_a_preview_without_sense_is_refused(
    shared: TestClient, schedule: dict[str, object], points: object, pointer: str
) -> None:
    asked = {"schedule": schedule, "lr": 0.1, "steps": 10**6, "points": points}
    answer = shared.post("/v1/schedules/preview", json=asked)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


def test_the_schema_of_a_spec_has_its_fields_and_everything_that_it_can_choose(shared: TestClient) -> None:
    schema = shared.get("/v1/catalog/experiment").json()
    assert schema["properties"].keys() == Experiment.model_fields.keys()
    assert set(schema["properties"]["optimizer"]["discriminator"]["mapping"]) == set(CATALOG["optimizers"])
    assert set(schema["properties"]["metrics"]["items"]["discriminator"]["mapping"]) == set(CATALOG["metrics"])
