"""The audit: every operation that changes something leaves a row in its own transaction, or says why it does not."""

import re
from collections.abc import Callable
from io import BytesIO
from typing import Any
from unittest.mock import patch
from zipfile import ZipFile

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.db.access.projects import new_key
from service.db.metrics.codec import pack
from service.db.session import transaction
from service.lifecycle import State
from tests.fixtures.api import SPEC, Worker, points
from tests.ingest.images.image_files import encoded, picture

CSV = b"x,y\n1,2\n2,3\n3,4\n"


class Acts:
    """A member with a key, and one way to do each operation so that it succeeds."""

    def __init__(self, client: TestClient, worker: Worker, engine: Engine) -> None:
        self.client, self.worker, self.engine = client, worker, engine

    @property
    def secret(self) -> str:
        return self.client.headers["Authorization"].removeprefix("Bearer ")

    def ask(self, method: str, path: str, document: Any = None, **more: Any) -> Any:
        answer = self.client.request(method, path, json=document, **more)
        assert answer.is_success, (method, path, answer.text)
        return answer.json() if answer.content and "json" in answer.headers["content-type"] else answer

    def post(self, path: str, document: Any = None) -> Any:
        return self.ask("POST", path, document)

    def experiment(self, **changes: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.post("/v1/experiments", SPEC | changes)
        return made

    def run(self) -> str:
        return str(self.experiment()["runs"][0]["id"])

    def trained(self, state: State = State.SUCCEEDED, checkpoint: int = 10) -> str:
        """A run with a checkpoint that has ended."""
        run_id = self.run()
        while (held := self.worker.claim()).run_id != run_id:
            self.worker.finish(held)
        self.worker.save(held, checkpoint, points(1, checkpoint))
        failure = {"code": "diverged", "detail": "it did"} if state is State.FAILED else None
        self.worker.finish(held, state=state, failure=failure)
        return run_id

    def cancelled(self) -> dict[str, Any]:
        made = self.experiment()
        self.post(f"/v1/experiments/{made['id']}/cancel")
        return made

    def deleted(self) -> str:
        made = self.cancelled()["id"]
        self.ask("DELETE", f"/v1/experiments/{made}")
        return str(made)

    def elsewhere(self, verb: str, experiment_id: str) -> Any:
        with transaction(self.engine) as connection:
            new_key(connection, "elsewhere", "ada")
        return self.post(f"/v1/experiments/{experiment_id}/{verb}", {"project": "elsewhere"})

    def predicted(self) -> Any:
        with patch("service.api.routes.derived_runs.PREDICT_WAIT_S", 0):  # no worker answers here
            return self.post(f"/v1/runs/{self.trained()}/predict", {"rows": [[0.0] * 4]})

    def previewed(self) -> Any:
        folders = BytesIO()
        with ZipFile(folders, "w") as made:
            for number in range(20):
                made.writestr(f"{'ab'[number % 2]}/{number}.png", encoded(picture(number)))
        upload = self.ask("POST", "/v1/datasets?name=a.zip", content=folders.getvalue())["id"]
        images = {"dataset": {"kind": "images", "upload": upload, "size": 8}, "augment": [{"kind": "vertical_flip"}]}
        with patch("service.api.routes.catalog.PREVIEW_WAIT_S", 0):  # no worker answers here
            return self.post("/v1/augmentations/preview", SPEC | images)

    def unshared(self) -> Any:
        made = self.experiment()["id"]
        self.elsewhere("share", made)
        return self.elsewhere("unshare", made)

    def restored_dataset(self) -> Any:
        made = self.dataset()
        self.ask("DELETE", f"/v1/datasets/{made}")
        return self.post(f"/v1/datasets/{made}/restore")

    def comment(self) -> str:
        return str(self.post(f"/v1/experiments/{self.experiment()['id']}/comments", {"text": "a"})["id"])

    def view(self) -> str:
        return str(self.post("/v1/views", {"place": "experiments", "name": "mine"})["id"])

    def dataset(self) -> str:
        return str(self.ask("POST", "/v1/datasets?name=a.csv", content=CSV)["id"])

    def as_operator(self) -> "Acts":
        with transaction(self.engine) as connection:
            connection.execute(text("UPDATE account SET admin = true WHERE name = 'ada'"))
        return self

    def channel(self) -> str:
        made = self.post("/v1/channels", {"kind": "webhook", "address": "https://0x7f.1/"})
        return f"/v1/channels/{made['id']}"

    def invitation(self) -> str:
        return str(self.post("/v1/invitations", {})["id"])

    def robot(self) -> str:
        return str(self.post("/v1/members", {"name": "robot"})["id"])

    def study(self) -> str:
        space = {"/optimizer/lr": {"kind": "log_uniform", "low": 0.01, "high": 1}}
        asked = {"base": SPEC, "space": space, "budget": {"trials": 50}, "sampler": "random", "parallel": 1}
        return str(self.post("/v1/studies", asked)["id"])

    def deleted_study(self) -> str:
        made = self.study()
        self.post(f"/v1/studies/{made}/stop")
        self.ask("DELETE", f"/v1/studies/{made}")
        return made

    def key(self) -> str:
        return str(self.post("/v1/keys", {"name": "x", "scope": "read"})["id"])


def on_experiment(verb: str, before: str | None = None) -> Callable[[Acts], Any]:
    def act(acts: Acts) -> Any:
        at = f"/v1/experiments/{acts.experiment()['id']}"
        if before:
            acts.post(f"{at}/{before}")
        return acts.post(f"{at}/{verb}")

    return act


def on_run(verb: str, before: str | None = None) -> Callable[[Acts], Any]:
    def act(acts: Acts) -> Any:
        at = f"/v1/runs/{acts.run()}"
        if before:
            acts.post(f"{at}/{before}")
        return acts.post(f"{at}/{verb}")

    return act


def on_study(verb: str, before: str | None = None) -> Callable[[Acts], Any]:
    def act(acts: Acts) -> Any:
        at = f"/v1/studies/{acts.study()}"
        if before:
            acts.post(f"{at}/{before}")
        return acts.post(f"{at}/{verb}")

    return act


def on_key(verb: str) -> Callable[[Acts], Any]:
    return lambda acts: acts.post(f"/v1/keys/{acts.key()}/{verb}")


def confirm(acts: Acts) -> Any:
    for scale in (1.0, 2.0):
        made = acts.experiment(seeds=[0, 1, 2], name=f"scale {scale}")
        for _ in made["runs"]:
            held = acts.worker.claim()
            steps = np.arange(1, 1001)
            acts.worker.finish(held, {"loss": pack(steps, scale + 0.001 * held.seed + 1 / steps)})
    ids = [each["id"] for each in acts.ask("GET", "/v1/experiments?limit=2")["items"]]
    made = acts.post("/v1/comparisons", {"experiments": ids, "series": ["loss"]})
    return acts.post(f"/v1/comparisons/{made['id']}/confirm", {"seeds": 2})


def extend(acts: Acts) -> Any:
    return acts.post(f"/v1/comparisons/{confirm(acts)['id']}/confirm/extend", {"seeds": 2})


ACTS: dict[str, tuple[str, Callable[[Acts], Any]]] = {  # operation -> the action of its row, and how it is done
    "post_experiment": ("experiment.submit", Acts.experiment),
    "patch_experiment": (
        "experiment.label",
        lambda acts: acts.ask("PATCH", f"/v1/experiments/{acts.experiment()['id']}", {"notes": "n"}),
    ),
    **{f"{verb}_experiment": (f"experiment.{verb}", on_experiment(verb)) for verb in ("cancel", "pause", "archive")},
    "resume_experiment": ("experiment.resume", on_experiment("resume", "pause")),
    "unarchive_experiment": ("experiment.unarchive", on_experiment("unarchive", "archive")),
    **{f"{verb}_run": (f"run.{verb}", on_run(verb)) for verb in ("cancel", "pause")},
    "resume_run": ("run.resume", on_run("resume", "pause")),
    "change_run": ("run.prioritise", lambda acts: acts.ask("PATCH", f"/v1/runs/{acts.run()}", {"priority": 3})),
    "retry_run": ("run.retry", on_run("retry", "cancel")),
    "replay_run": ("run.replay", lambda acts: acts.post(f"/v1/runs/{acts.trained()}/replay")),
    "fork_run": (
        "run.fork",
        lambda acts: acts.post(f"/v1/runs/{acts.trained()}/forks", {"changes": {"optimizer": {"lr": 0.01}}}),
    ),
    "probe_run": (
        "run.probe",
        lambda acts: acts.post(f"/v1/runs/{acts.trained()}/probes", {"probes": [{"kind": "critical_point"}]}),
    ),
    "predict": ("run.probe", Acts.predicted),
    "preview_augmentation": ("run.preview", Acts.previewed),
    "confirm_comparison": ("experiment.submit", confirm),
    "post_study": ("study.submit", Acts.study),
    **{f"{verb}_study": (f"study.{verb}", on_study(verb)) for verb in ("pause", "stop")},
    "resume_study": ("study.resume", on_study("resume", "pause")),
    "extend_study": ("study.extend", lambda acts: acts.post(f"/v1/studies/{acts.study()}/extend", {"trials": 2})),
    "clone_study": ("study.submit", on_study("clone")),
    "delete_study": ("study.delete", Acts.deleted_study),
    "restore_study": ("study.restore", lambda acts: acts.post(f"/v1/studies/{acts.deleted_study()}/restore")),
    "post_trial": (
        "study.add_trial",
        lambda acts: acts.post(f"/v1/studies/{acts.study()}/trials", {"point": {"/optimizer/lr": 0.5}}),
    ),
    "extend_confirmation": ("experiment.submit", extend),
    "post_key": ("key.create", Acts.key),
    "delete_experiment": ("experiment.delete", Acts.deleted),
    "restore_experiment": ("experiment.restore", lambda acts: acts.post(f"/v1/experiments/{acts.deleted()}/restore")),
    "move_experiment": ("experiment.move", lambda acts: acts.elsewhere("move", acts.cancelled()["id"])),
    "share_experiment": ("experiment.share", lambda acts: acts.elsewhere("share", acts.experiment()["id"])),
    "unshare_experiment": ("experiment.unshare", Acts.unshared),
    "restore_dataset": ("dataset.restore", Acts.restored_dataset),
    "post_comment": ("comment.create", Acts.comment),
    "edit_comment": (
        "comment.edit",
        lambda acts: acts.ask("PATCH", f"/v1/comments/{acts.comment()}", {"text": "b"}),
    ),
    "delete_comment": ("comment.delete", lambda acts: acts.ask("DELETE", f"/v1/comments/{acts.comment()}")),
    "post_view": ("view.create", Acts.view),
    "patch_view": ("view.change", lambda acts: acts.ask("PATCH", f"/v1/views/{acts.view()}", {"name": "b"})),
    "delete_view": ("view.delete", lambda acts: acts.ask("DELETE", f"/v1/views/{acts.view()}")),
    "change_project": ("project.change", lambda acts: acts.ask("PATCH", "/v1/project", {"members_manage": True})),
    **{f"{verb}_key": (f"key.{verb}", on_key(verb)) for verb in ("rotate", "revoke")},
    "post_dataset": ("dataset.upload", Acts.dataset),
    "sign_in": ("session.start", lambda acts: acts.post("/v1/session", {"key": acts.secret})),
    "set_person_quota": (
        "quota.change",
        lambda acts: acts.ask("PUT", "/v1/quotas/queued_runs", {"value": 9}),
    ),
    "set_server_quota": (
        "quota.change",
        lambda acts: acts.as_operator().ask("PUT", "/v1/admin/quotas/queued_runs", {"value": 9, "project": "default"}),
    ),
    "post_invitation": ("member.invite", Acts.invitation),
    "revoke_invitation": (
        "invitation.revoke",
        lambda acts: acts.post(f"/v1/invitations/{acts.invitation()}/revoke"),
    ),
    "post_service_member": ("member.join", Acts.robot),
    "change_member": (
        "member.change",
        lambda acts: acts.ask("PATCH", f"/v1/members/{acts.robot()}", {"role": "viewer"}),
    ),
    "remove_member": ("member.remove", lambda acts: acts.ask("DELETE", f"/v1/members/{acts.robot()}")),
    "delete_dataset": ("dataset.delete", lambda acts: acts.ask("DELETE", f"/v1/datasets/{acts.dataset()}")),
    "post_channel": ("channel.create", Acts.channel),
    "patch_channel": ("channel.change", lambda acts: acts.ask("PATCH", acts.channel(), {"name": "other"})),
    "delete_channel": ("channel.delete", lambda acts: acts.ask("DELETE", acts.channel())),
    "rotate_channel": ("channel.rotate", lambda acts: acts.post(acts.channel() + "/rotate")),
    "test_channel": ("channel.test", lambda acts: acts.post(acts.channel() + "/test")),
}
READS: dict[str, tuple[str, Callable[[Acts], Any]]] = {  # that take something away with them
    "get_series": (
        "series.export",
        lambda acts: acts.ask("GET", f"/v1/runs/{acts.trained()}/series?points=all", headers={"Accept": "text/csv"}),
    ),
    "get_many_series": (
        "series.export",
        lambda acts: acts.ask("GET", f"/v1/series?runs={acts.trained()}", headers={"Accept": "text/csv"}),
    ),
    "export_audit": ("audit.export", lambda acts: acts.ask("GET", "/v1/audit/export")),
}
SILENT = {  # operations that change something and leave no row: why
    "post_comparison": "a question; nothing that others see changes",
    "preview_schedule": "it stores nothing",
    **dict.fromkeys(
        ("sign_out", "end_session", "end_other_sessions"), "tests/api/people/test_sessions tries them by cookie"
    ),
    "enter_project": "it changes nothing but what this browser shows",
    "open_invitation": "it only shows what a link leads to",
    **dict.fromkeys(
        ("patch_account", "put_password", "join_project", "accept_invitation", "post_project", "post_password_link"),
        "a key may not; test_accounts and test_invitations of tests/api/people try them",
    ),
    "finish_provider": "tests/api/people/test_provider tries it",
    **dict.fromkeys(
        ("drain_worker", "undrain_worker", "stop_run", "stop_experiment", "disable_account", "enable_account"),
        "of a server admin: tests/api/test_admin",
    ),
    "confirm_study": "of a study that has ended; tests/studies tries it",
    "verify_finding": "its runs are forks, each with a row; tests/verification tries it",
}


@pytest.fixture
def acts(client: TestClient, worker: Worker, engine: Engine) -> Acts:
    return Acts(client, worker, engine)


def rows(engine: Engine) -> list[Any]:
    with transaction(engine) as connection:
        return list(connection.execute(text("SELECT * FROM audit ORDER BY id")).mappings())


@pytest.mark.parametrize("operation", sorted(ACTS | READS))
def test_an_act_leaves_a_row(acts: Acts, engine: Engine, operation: str) -> None:
    action, act = (ACTS | READS)[operation]
    act(acts)
    found = [row for row in rows(engine) if row["action"] == action]
    assert found, f"{operation} leaves no row {action}"
    assert {row["actor"] for row in found} == {"ada"}
    assert all(row["project_id"] and row["account_id"] and row["key_id"] for row in found)
    assert all(row["target"] for row in found if operation != "get_many_series")


def test_every_operation_that_changes_something_is_tried_or_says_why_not() -> None:
    from service.access.rules import RULES
    from tests.access.test_matrix import OPERATIONS

    changing = {operation for operation, (method, _) in OPERATIONS.items() if method != "GET"}
    assert set(ACTS) | set(SILENT) == changing
    assert not set(ACTS) & set(SILENT)
    assert set(ACTS) | set(READS) | set(SILENT) <= set(RULES)
    assert all(re.fullmatch(r"[a-z]+\.[a-z_]+", action) for action, _ in (ACTS | READS).values())


def test_what_is_undone_leaves_no_row(acts: Acts, engine: Engine) -> None:
    run_id = acts.trained()
    before = len(rows(engine))
    assert acts.client.post(f"/v1/runs/{run_id}/cancel").status_code == 409
    assert acts.client.post("/v1/experiments?dry_run=true", json=SPEC).status_code == 200
    assert acts.client.get(f"/v1/runs/{run_id}/series").status_code == 200, "a curve on the page is no export"
    assert len(rows(engine)) == before


def test_a_submission_that_is_sent_again_is_one_act(acts: Acts, engine: Engine) -> None:
    for _ in range(2):
        acts.ask("POST", "/v1/experiments", SPEC | {"seeds": [0, 1]}, headers={"Idempotency-Key": "once"})
    (row,) = rows(engine)
    assert (row["action"], row["target"], row["data"]["runs"]) == (
        "experiment.submit",
        acts.ask("GET", "/v1/experiments")["items"][0]["id"],
        2,
    )
