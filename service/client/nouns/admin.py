"""What a `Client` offers to server admins: all projects, the queue, workers, storage, quotas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from service.client.http import Json
from service.client.nouns.base import NounClient
from service.client.paths import part


class AdminClient(NounClient):
    """The part of `Client` for server admins; its answers are as the server sends them."""

    def all_projects(self) -> Iterator[Json]:
        """Yield every project with its members, use and quotas, by name."""
        after: str | None = ""
        while after is not None:
            page = self.http.get("/v1/admin/projects", {"limit": "200", "after": after})
            yield from page["items"]
            after = page["next_after"]

    def accounts(self, limit: int = 1000) -> Iterator[Json]:
        """Yield every account of the server, newest first."""
        return self.http.pages("/v1/admin/accounts", limit, {})

    def whole_queue(self, limit: int = 50) -> list[Json]:
        """Return the first waiting runs of all projects, in the order in which they are expected to start."""
        items: list[Json] = self.http.get("/v1/admin/queue", {"limit": str(limit)})["items"]
        return items

    def busy_workers(self) -> list[Json]:
        """Return all workers, with what each trains and whether it was drained."""
        items: list[Json] = self.http.get("/v1/admin/workers")["items"]
        return items

    def disable(self, account: str, disable: bool = True) -> Json:
        """Stop an account at once, or let it in again."""
        answer: Json = self.http.post(f"/v1/admin/accounts/{part(account)}/{'disable' if disable else 'enable'}")
        return answer

    def drain(self, worker: str, drain: bool = True) -> Json:
        """Have a worker take no more runs, or take them again."""
        answer: Json = self.http.post(f"/v1/admin/workers/{part(worker)}/{'drain' if drain else 'undrain'}")
        return answer

    def stop(self, kind: Literal["run", "experiment"], id: str) -> Json:
        """Cancel a run of any project, or all runs of an experiment."""
        answer: Json = self.http.post(f"/v1/admin/{kind}s/{part(id)}/cancel")
        return answer

    def set_server_quota(
        self,
        name: str,
        value: int | None,
        project: str | None = None,
        subject: Literal["project", "person"] = "project",
        default: bool = False,
    ) -> Json:
        """Set a limit of one project or of all, as a whole or per person; `default`: the less specific one holds."""
        wanted = {"value": value, "project": project, "subject": subject}
        answer: Json = self.http.put(f"/v1/admin/quotas/{part(name)}", wanted, {"default": "true"} if default else None)
        return answer
