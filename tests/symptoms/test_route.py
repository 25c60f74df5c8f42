"""The symptom library over HTTP."""

from fastapi.testclient import TestClient

from service.symptoms.library import symptoms


def test_the_library_is_listed_and_each_document_can_be_posted(shared: TestClient) -> None:
    items = shared.get("/v1/symptoms").json()["items"]
    assert [each["name"] for each in items] == list(symptoms())
    (dead,) = [each for each in items if each["name"] == "dead-relu-start"]
    assert (dead["level"], dead["verdicts"], dead["helps"]) == ("fault", ["dead", "dying_relu"], True)
    assert shared.get("/v1/symptoms/dead-relu-start").json() == dead
    answer = shared.post("/v1/experiments?dry_run=true", json=dead["document"])
    assert answer.status_code == 200
    assert answer.json()["name"] == "dead-relu-start"


def test_a_symptom_that_is_not_there_is_not_found(shared: TestClient) -> None:
    assert shared.get("/v1/symptoms/nothing").status_code == 404
