"""Every environment variable of Saddle, with unit and default; each starts with SADDLE_.

A secret may be in a file instead: SADDLE_DATABASE_URL_FILE names the file that holds SADDLE_DATABASE_URL.
"""

import ipaddress
import os
import socket
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from service.devices import Devices, parse_devices, parse_slots, pool_of
from service.turn_policy import TurnPolicy

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

PREFIX = "SADDLE_"
STORAGE = "^(file:///|s3://[a-z0-9])"
DEVICE = "SADDLE_DEVICE"  # the old name of SADDLE_DEVICES
SECRETS = (
    *(
        "database_url",
        "api_db_password",
        "worker_db_password",
        "reader_db_password",
        "broker_url",
        "oidc_client_secret",
    ),
    "smtp_password",
)


class WrongSecret(ValueError):
    """A secret that is given twice, or in a file that cannot be read."""


def secret_of_file(variable: str) -> str | None:
    """Return the content of the file that `variable`_FILE names, without the newline at its end."""
    path = os.environ.get(f"{variable}_FILE")
    if not path:
        return None
    if os.environ.get(variable):
        raise WrongSecret(f"{variable} and {variable}_FILE are both set: keep one")
    try:
        secret = Path(path).read_text(encoding="utf-8-sig").strip("\r\n")
    except OSError as error:
        raise WrongSecret(f"{variable}_FILE: {path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise WrongSecret(f"{variable}_FILE: {path} is not UTF-8 text") from None
    if not secret.strip():
        raise WrongSecret(f"{variable}_FILE: {path} is empty")
    if len(secret.splitlines()) > 1:
        raise WrongSecret(f"{variable}_FILE: {path} has several lines: keep the secret alone")
    return secret


def _check_devices(text: str) -> str:
    """Return the setting unchanged if it names slots."""
    parse_slots(text)
    return text


def _check_networks(text: str) -> str:
    """Return the setting unchanged if it lists addresses and networks."""
    for part in filter(None, map(str.strip, text.split(","))):
        try:
            ipaddress.ip_network(part)
        except ValueError:
            raise ValueError(f"{part!r} is no address or network: write 10.0.0.5 or 10.0.0.0/24") from None
    return text


def _default_pool(given: dict[str, Any]) -> str:
    """Return the pool of the first slot."""
    slots = parse_slots(given.get("devices", "cpu"))
    return "gpu" if slots is None else pool_of(slots[0])


def _pool(name: str) -> str:
    """Return the pool's present name; earlier releases called the GPU pool cuda in a local start."""
    return "gpu" if name == "cuda" else name


class Settings(BaseModel):
    """Read once a process; a wrong value stops the start with a sentence that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    database_url: str = Field(
        pattern="^postgresql[+]psycopg://[^ ]*$", description="postgresql+psycopg://user:password@host/name"
    )
    api_db_password: SecretStr | None = Field(None, description="of saddle_api; an upgrade sets it where it is given")
    worker_db_password: SecretStr | None = Field(None, description="of saddle_worker, likewise")
    reader_db_password: SecretStr | None = Field(None, description="of saddle_reader, likewise")
    broker_url: str | None = Field(
        None, description="redis://host or redis+socket:///path; without it workers only poll"
    )
    data_dir: Path = Field(Path(".saddle"), description="what this machine keeps on its disk")
    storage_url: str | None = Field(
        None,
        pattern=STORAGE,
        description="where checkpoints and uploads are: file:///path, whose folders `checkpoints` and `datasets` all"
        " machines share, or s3://bucket/prefix (AWS_ variables say the rest); those folders of data_dir without",
    )
    checkpoint_url: str | None = Field(
        None,
        pattern=STORAGE,
        description="where checkpoints are if not in storage_url; a file:///path is their folder",
    )
    upload_cache_bytes: int = Field(
        20 * 2**30, ge=0, description="uploads from a bucket that this machine keeps on its disk, beside those in use"
    )
    devices: Annotated[str, AfterValidator(_check_devices)] = Field(
        "cpu",
        description="all (every GPU, else the CPU) or a worker's slots: 0,1 or cpu x 4 or 0+1 (one run trains on both)",
    )
    pool: Annotated[str, AfterValidator(_pool)] = Field(
        default_factory=_default_pool,
        description="cpu or gpu: the pool all slots of a worker serve, each that of its device by default; the API:"
        " where a run waits whose spec names none",
    )
    worker_name: str = Field(
        default_factory=socket.gethostname,
        description="stable over restarts, one worker each; several slots are NAME.1, NAME.2, ...",
    )
    threads: int = Field(1, ge=1, le=256, description="CPU threads of a trainer; part of what makes a run repeatable")
    allowed_hosts: str = Field("*", description="comma-separated Host names the API answers to; * for all")
    trusted_proxies: Annotated[str, AfterValidator(_check_networks)] = Field(
        "",
        description="comma-separated addresses and networks of proxies, whose X-Forwarded-For and X-Forwarded-Proto say"
        " who asks and by which scheme; from anybody else both are ignored",
    )
    connections: int = Field(
        2048, ge=8, le=65536, description="connections of a process of the API; an address has at most half of them"
    )
    head_s: float = Field(15.0, gt=0, le=300, description="seconds from a connection's start to a request's headers")
    body_s: float = Field(30.0, gt=0, le=300, description="seconds between two pieces of a request's body")
    idle_s: float = Field(30.0, gt=0, le=300, description="seconds between two requests on a connection")
    send_s: float = Field(60.0, gt=0, le=600, description="seconds between two pieces of an answer that a client takes")
    requests_per_key: float = Field(
        100.0, gt=0, le=1e6, description="requests a second of one key or session in a process; ten times that at once"
    )
    requests_per_address: float = Field(
        300.0, gt=0, le=1e6, description="the same for one address, which may stand for a team behind one"
    )
    requests_at_once: int = Field(
        48, ge=8, le=1000, description="requests a process of the API works for; beyond that it answers 503 at once"
    )
    root_path: str = Field(
        "",
        pattern=r"^((/[A-Za-z0-9._~-]+)+)?$",
        description="path below which a proxy serves the API and the page, as /saddle, whether it takes it off or not",
    )
    flush_s: float = Field(0.2, gt=0, le=10, description="seconds between writes of metrics while there are any")
    checkpoint_s: float = Field(60.0, gt=0, description="seconds between checkpoints where the spec sets no steps")
    beat_s: float = Field(5.0, gt=0, description="seconds between two signs of life of a worker")
    lease_window_s: float = Field(30.0, gt=0, description="seconds without a sign of life until a run is taken back")
    reap_s: float = Field(5.0, gt=0, description="seconds between two looks of the reaper, and of the dispatcher")
    poll_s: float = Field(15.0, gt=0, description="seconds between two looks of an idle worker without a notification")
    drain_s: float = Field(90.0, gt=0, description="seconds a trainer has for its last checkpoint before it is killed")
    wish_s: float = Field(1.0, gt=0, description="seconds until a pause or cancel reaches a run that is in a long step")
    stall_s: float = Field(600.0, gt=0, description="seconds without a step or a move until a trainer is ended")
    first_step_s: float = Field(1800.0, gt=0, description="the same before the first step, and at most between two")
    max_run_s: float | None = Field(None, gt=0, description="seconds a run may train in all its attempts; unset: any")
    use_half_life_s: float = Field(
        TurnPolicy.half_life_s,
        ge=1,
        description="seconds after which use of a device counts half in whose turn it is; the same for API and workers",
    )
    turn_s: float = Field(TurnPolicy.turn_s, gt=0, description="seconds a run trains at least before it is preempted")
    preempt_after_s: float = Field(
        TurnPolicy.preempt_after_s,
        ge=0,
        description="seconds a run waits until one of somebody with more than twice the recent use makes way; 0: never",
    )
    fence_s: float = Field(
        660.0, gt=0, description="seconds without Postgres until a trainer saves its state and stops"
    )
    spool_bytes: int = Field(
        64 * 2**20, ge=0, description="points that wait for Postgres in memory; more wait in a file in data_dir"
    )
    autopsy_s: float = Field(
        60.0, ge=0, le=600, description="seconds a run that diverged may train again to find where it began; 0: none"
    )
    system_s: float = Field(10.0, gt=0, description="seconds between two points of the series system/*")
    pack_runs: int = Field(
        64, ge=1, le=256, description="runs that differ only in values and are trained together, at most; 1: none are"
    )
    spares: int = Field(1, ge=0, le=4, description="trainers kept warm beside the one that trains")
    upload_bytes: int = Field(256 * 2**20, ge=1, description="largest file that can be uploaded as a dataset")
    upload_bytes_per_s: int = Field(
        32 * 2**10, ge=1, description="slowest rate at which an upload may arrive, on average after half a minute"
    )
    unfinished_uploads: int = Field(
        8, ge=1, description="uploads of one person that arrive or are read at once; a project may have twice as many"
    )
    unfinished_bytes: int = Field(2**30, ge=1, description="bytes of the unfinished uploads of one person together")
    read_bytes: int = Field(2**33, ge=1, description="largest content of an uploaded file once it is unpacked")
    read_cells: int = Field(
        2**30, ge=1, description="most cells of an uploaded file (rows x columns, values of arrays)"
    )
    read_s: int = Field(240, ge=1, le=86_400, description="seconds of a core that reading an uploaded file may take")
    read_memory_bytes: int = Field(
        3 * 2**29, ge=2**24, description="memory that reading an uploaded file may take; two are read at once"
    )
    dataset_folder: Path | None = Field(
        None, description="a mounted folder of datasets and of start weights (.safetensors), read where they lie"
    )
    project_bytes: int = Field(20 * 2**30, ge=1, description="all uploads of one project together")
    disk_reserve_bytes: int = Field(
        2**30,
        ge=0,
        description="bytes left free of the disk of data_dir: below, no worker takes a run, no upload enters",
    )
    resident_bytes: int = Field(
        2 * 2**30, ge=0, description="rows of an upload that take more stay on disk in training"
    )
    alive_file: Path | None = Field(None, description="a worker touches it after every answer from Postgres")
    bin_days: float = Field(30.0, ge=0, le=3650, description="days that what was deleted can be restored")
    key_days: float = Field(90.0, gt=0, le=3650, description="days a new key lives where its maker does not say")
    oidc_issuer: str = Field(
        "",
        pattern="^(https://[^ ]+|http://(127[.]0[.]0[.]1|localhost)(:[0-9]+)?(/[^ ]*)?)?$",
        description="address of an OpenID provider through which people sign in; unset: none",
    )
    oidc_client_id: str = Field("", description="this server's id at the provider")
    oidc_client_secret: SecretStr | None = Field(None, description="its secret there; unset: a public client")
    oidc_scopes: str = Field("openid email profile", pattern=r"^openid( \S+)*$", description="what is asked for")
    oidc_name: str = Field("", max_length=40, description="what the page calls the provider; unset: its host name")
    oidc_domains: str = Field(
        "",
        description="comma-separated domains of e-mail addresses, verified by the provider, whose owners get an account"
        " at their first sign-in; others need an invitation",
    )
    open_projects: bool = Field(False, description="whether every account may make projects, not only server admins")
    streams_per_key: int = Field(20, ge=1, description="streams one key may have open at once in a process of the API")
    streams: int = Field(
        1000, ge=1, le=65536, description="streams of all keys in a process of the API; at most half the connections"
    )
    sse_poll_s: float = Field(0.25, gt=0, description="seconds between two looks for news to stream")
    metrics: bool = Field(False, description="whether GET /metrics shows the server's figures to Prometheus")
    access_log: bool = Field(False, description="whether the API logs a line of JSON for each request")
    public_url: str = Field(
        "", pattern="^(https?://[^ ?#]+)?$", description="the address people open; links in messages begin with it"
    )
    webhook_networks: Annotated[str, AfterValidator(_check_networks)] = Field(
        "", description="comma-separated private networks that messages may be sent to; all others are refused"
    )
    smtp_host: str = Field("", description="sends the e-mail; without one there is none")
    smtp_port: int = Field(587, ge=1, le=65535, description="of smtp_host")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="of the connection to smtp_host; none sends the password in the clear"
    )
    smtp_user: str = Field("", description="signs in to smtp_host; without one nobody does")
    smtp_password: SecretStr | None = Field(None, description="of smtp_user")
    mail_from: str = Field("saddle@localhost", pattern=r"^[^@\s<>]+@[^@\s<>]+$", description="the sender of the e-mail")
    queue_stuck_s: float = Field(3600.0, gt=0, description="seconds a run waits until its people are told")
    audit_days: int | None = Field(
        None,
        ge=1,
        le=36500,
        description="days that the audit is kept; an upgrade erases what is older; unset: for ever",
    )

    def __init__(self, **given: Any) -> None:
        """Take each value from the arguments, a secret's file, or the environment, in this order."""
        variables = {name: f"{PREFIX}{name.upper()}" for name in type(self).model_fields}
        found = {name: os.environ[variable] for name, variable in variables.items() if variable in os.environ}
        if DEVICE in os.environ:  # until 0.3
            found.setdefault("devices", os.environ[DEVICE])
        secrets = {name: secret for name in SECRETS if (secret := secret_of_file(variables[name])) is not None}
        super().__init__(**(found | secrets | given))

    @property
    def proxies(self) -> list[str]:
        """The addresses and networks of trusted proxies."""
        return [part for each in self.trusted_proxies.split(",") if (part := each.strip())]

    @property
    def turns(self) -> TurnPolicy:
        """How the workers' time is shared out."""
        return TurnPolicy(self.use_half_life_s, self.turn_s, self.preempt_after_s)

    @property
    def checkpoint_dir(self) -> Path:
        """The folder of checkpoints, which all workers and the API share unless a bucket holds them."""
        return _folder_of(self.checkpoint_url) or self._shared_dir / "checkpoints"

    @property
    def checkpoint_cache(self) -> Path:
        """This worker's own folder of checkpoints on their way to or from a bucket."""
        return self.data_dir / "checkpoint-cache" / self.worker_name

    @property
    def slot_devices(self) -> Devices:
        """The devices of a slot, of which `worker.supervisor.slots.split_slots` gave these settings only one."""
        return parse_devices(self.devices)

    @property
    def dataset_dir(self) -> Path:
        """The folder of uploads, which the API and all workers share, or of what arrives or is copied from a bucket."""
        return self._shared_dir / "datasets"

    @property
    def _shared_dir(self) -> Path:
        return _folder_of(self.storage_url) or self.data_dir


def _folder_of(url: str | None) -> Path | None:
    """Return the folder that a URL of storage names; None for a bucket."""
    return Path(unquote(urlsplit(url).path)) if url is not None and url.startswith("file:") else None


def _describe(error: "ErrorDetails") -> str:
    """Return an error in words; our own messages as they are."""
    return str(error["ctx"]["error"]) if error["type"] == "value_error" else error["msg"].lower()


def forget_secrets() -> None:
    """Take the secrets out of this process's environment, which the programs that it starts inherit."""
    for name in SECRETS:
        os.environ.pop(f"{PREFIX}{name.upper()}", None)


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the settings of this process; exit with a sentence if one is missing or wrong."""
    try:
        return Settings()
    except ValidationError as error:
        found = [
            e for e in error.errors() if e["type"] != "default_factory_not_called"
        ]  # SADDLE_POOL only depends on the wrong one
        wrong = "; ".join(f"SADDLE_{str(e['loc'][0]).upper()}: {_describe(e)}" for e in found)
        sys.exit(f"saddle: {wrong}")
    except WrongSecret as error:
        sys.exit(f"saddle: {error}")
