"""`Client`: everything the API offers, as typed Python; nothing is printed and nothing waits longer than it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.client import address
from service.client.http import Http
from service.client.nouns.admin import AdminClient
from service.client.nouns.catalog import CatalogClient
from service.client.nouns.comparisons import ComparisonClient
from service.client.nouns.experiments import ExperimentClient
from service.client.nouns.files import FileClient
from service.client.nouns.runs import RunClient
from service.client.nouns.studies import StudyClient
from service.client.nouns.team import TeamClient

if TYPE_CHECKING:
    from types import TracebackType


class Client(
    ExperimentClient, RunClient, ComparisonClient, CatalogClient, FileClient, StudyClient, TeamClient, AdminClient
):
    """One server. Address and key: given, else SADDLE_URL and SADDLE_KEY, else those of a server on this machine."""

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        self.http = Http(address.find(url, key))

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; what was submitted continues."""
        self.http.close()
