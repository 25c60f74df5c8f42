"""What a `Client` offers for working together: people, keys, channels, the audit, the bin, sharing, comments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from service.client import answers
from service.client.nouns.base import NounClient
from service.client.paths import flag, part

if TYPE_CHECKING:
    from service.schemas.datasets import DatasetView
    from service.schemas.experiments import ExperimentView
    from service.schemas.people.accounts import MadeInvitation, MemberView
    from service.schemas.people.audit import AuditView
    from service.schemas.people.channels import ChannelView, DeliveryView, TriedView
    from service.schemas.people.comments import CommentView
    from service.schemas.people.keys import MadeKey
    from service.schemas.people.sharing import BinView, ProjectSettingsView, ShareView


class TeamClient(NounClient):
    """The part of `Client` that concerns people."""

    def api_keys(self, limit: int = 1000, *, closed: bool = False) -> Iterator[MadeKey]:
        """Yield your API keys, an admin's project's, newest first; with `closed`, revoked and expired ones too."""
        return map(answers.key, self.http.pages("/v1/keys", limit, {"closed": flag(closed)}))

    def create_key(
        self,
        name: str,
        lifetime_s: float | None = None,
        *,
        never_expires: bool = False,
        scope: str = "admin",
        member: str | None = None,
        runs_per_day: int | None = None,
        device_s_per_day: float | None = None,
    ) -> MadeKey:
        """Create another key for the member who asks, or a service account; only this answer holds it whole."""
        wanted = {"name": name, "scope": scope, "member": member, "lifetime_s": lifetime_s}
        wanted |= {"runs_per_day": runs_per_day, "device_s_per_day": device_s_per_day}
        given = {key: value for key, value in wanted.items() if value is not None}
        return answers.key(self.http.post("/v1/keys", given | ({"lifetime_s": None} if never_expires else {})))

    def rotate_key(self, key_id: str, overlap_s: float = 86400.0) -> MadeKey:
        """Create a key of the same name, scope and lifetime; the old one opens for `overlap_s` more."""
        return answers.key(self.http.post(f"/v1/keys/{part(key_id)}/rotate", {"overlap_s": overlap_s}))

    def revoke_key(self, key_id: str) -> MadeKey:
        """Revoke a key from the next request on; refused for the one that asks."""
        return answers.key(self.http.post(f"/v1/keys/{part(key_id)}/revoke"))

    def channels(self) -> list[ChannelView]:
        """Return where messages go: your own channels, and an admin's project's."""
        return [answers.channel(each) for each in self.http.get("/v1/channels")["items"]]

    def test_channel(self, channel_id: str) -> TriedView:
        """Send a test message and return what the receiver said."""
        return answers.tried(self.http.post(f"/v1/channels/{part(channel_id)}/test"))

    def deliveries(self, channel_id: str) -> list[DeliveryView]:
        """Return the last 50 messages of a channel."""
        found = self.http.get(f"/v1/channels/{part(channel_id)}/deliveries")["items"]
        return [answers.delivery(each) for each in found]

    def audit(self, limit: int = 50, *, server: bool = False, **chosen: str | None) -> Iterator[AuditView]:
        """Yield what was done, newest first; `chosen` are actor, action, target, since and until."""
        path = "/v1/admin/audit" if server else "/v1/audit"
        return map(answers.audit, self.http.pages(path, limit, chosen))

    def delete(self, experiment_id: str, forever: bool = False) -> None:
        """Put an experiment that has ended into the bin, or delete it for good, from the bin too."""
        self.http.delete(f"/v1/experiments/{part(experiment_id)}", {"forever": flag(forever)})

    def delete_dataset(self, dataset_id: str, forever: bool = False) -> None:
        """Put an upload into the bin, or delete it for good; refused while an experiment trains on it."""
        self.http.delete(f"/v1/datasets/{part(dataset_id)}", {"forever": flag(forever)})

    def bin(self, limit: int = 1000) -> Iterator[BinView]:
        """Yield what lies in the project's bin, the last deleted first."""
        return map(answers.bin_item, self.http.pages("/v1/bin", limit))

    def restore(self, experiment_id: str) -> ExperimentView:
        """Take an experiment out of the bin."""
        return answers.experiment(self.http.post(f"/v1/experiments/{part(experiment_id)}/restore"))

    def restore_dataset(self, dataset_id: str) -> DatasetView:
        """Take an upload out of the bin."""
        return answers.dataset(self.http.post(f"/v1/datasets/{part(dataset_id)}/restore"))

    def move(self, experiment_id: str, project: str) -> None:
        """Move an experiment that has ended to another project in which you may submit."""
        self.http.post(f"/v1/experiments/{part(experiment_id)}/move", {"project": project})

    def share(self, experiment_id: str, project: str, shared: bool = True) -> list[ShareView]:
        """Let another project read an experiment, or no longer; return all that may."""
        verb = "share" if shared else "unshare"
        found = self.http.post(f"/v1/experiments/{part(experiment_id)}/{verb}", {"project": project})
        return [answers.share(each) for each in found["items"]]

    def comments(self, experiment_id: str, run_id: str | None = None, limit: int = 1000) -> Iterator[CommentView]:
        """Yield the comments on an experiment and its runs, or on one of them, newest first."""
        pages = self.http.pages(f"/v1/experiments/{part(experiment_id)}/comments", limit, {"run": run_id})
        return map(answers.comment, pages)

    def comment(self, experiment_id: str, text: str, run_id: str | None = None) -> CommentView:
        """Comment on an experiment or one of its runs; `@name` names a member of the project."""
        written = {"text": text, "run_id": run_id}
        return answers.comment(self.http.post(f"/v1/experiments/{part(experiment_id)}/comments", written))

    def project(self) -> ProjectSettingsView:
        """Return the project of the key, and its settings."""
        return answers.project(self.http.get("/v1/project"))

    def change_project(self, members_manage: bool) -> ProjectSettingsView:
        """Let members manage each other's work, or no longer; for admins."""
        return answers.project(self.http.patch("/v1/project", {"members_manage": members_manage}))

    def members(self, limit: int = 1000) -> Iterator[MemberView]:
        """Yield who is in the project, newest first."""
        return map(answers.member, self.http.pages("/v1/members", limit))

    def set_role(self, member_id: str, role: str) -> MemberView:
        """Give a member another role: viewer, member or admin."""
        return answers.member(self.http.patch(f"/v1/members/{part(member_id)}", {"role": role}))

    def remove_member(self, member_id: str) -> None:
        """Remove a member; their keys and sessions in the project end at once."""
        self.http.delete(f"/v1/members/{part(member_id)}")

    def invite(self, role: str = "member", email: str | None = None, lifetime_s: float = 7 * 86400) -> MadeInvitation:
        """Make a link that lets one person in; its `token` is in no other answer."""
        body = {"role": role, "lifetime_s": lifetime_s} | ({"email": email} if email else {})
        return answers.invitation(self.http.post("/v1/invitations", body))
