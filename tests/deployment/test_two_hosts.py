"""Two hosts with no folder in common: one with API and servers, one that only trains, TLS and a bucket between them."""

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.db.session import make_engine, transaction
from service.errors import Unavailable
from service.notifications import Notifier
from tests.fixtures.product import Servers
from tests.harness.product import Product
from tests.harness.tls import make_certificates, tls_before
from tests.harness.waiting import until

HOST = "localhost"  # the certificate's; 127.0.0.1 is the same machine under a name that it does not have
CSV = "x,kind\n" + "".join(f"{i % 7},{'ab'[i % 2]}\n" for i in range(60))
SPEC = {
    "dataset": {"kind": "upload", "predict": "kind", "task": "classification"},
    "model": {"kind": "linear"},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.001},
    "batch_size": 2,
    "steps": 3_000,
    "checkpoint": {"every_steps": 200},
}


@dataclass(frozen=True)
class Door:
    """How a worker on another host reaches Postgres and the broker."""

    folder: Path  # of the certificates
    passwords: dict[str, str]
    postgres_port: int
    broker_port: int
    broker: Path  # its socket

    def database_url(self, database: str = "saddle", host: str = HOST, ca: str = "ca.crt") -> str:
        login = f"saddle_worker:{self.passwords['saddle_worker']}@{host}:{self.postgres_port}/{database}"
        return f"postgresql+psycopg://{login}?sslmode=verify-full&sslrootcert={self.folder / ca}"

    def broker_url(self, port: int, host: str = HOST, query: str = "?ssl_ca_certs={}/ca.crt") -> str:
        return f"rediss://:{self.passwords['broker']}@{host}:{port}/0{query.format(self.folder)}"


@pytest.fixture(scope="module")
def door(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    postgres, valkey = servers
    folder = make_certificates(tmp_path_factory.mktemp("tls"), HOST)
    other = make_certificates(folder / "other", HOST)
    (folder / "other.crt").write_bytes((other / "ca.crt").read_bytes())
    passwords = dict(line.split(":")[3:] for line in postgres.passwords.read_text().splitlines())
    passwords["broker"] = valkey.password
    with (
        tls_before(postgres.socket, folder, postgres=True) as postgres_port,
        tls_before(valkey.socket, folder) as broker_port,
    ):
        yield Door(folder, passwords, postgres_port, broker_port, valkey.socket)


@pytest.mark.parametrize(
    ("host", "ca", "why"), [(HOST, "other.crt", "certificate verify failed"), ("127.0.0.1", "ca.crt", "does not match")]
)
def test_a_database_that_is_not_the_first_hosts_is_not_talked_to(door: Door, host: str, ca: str, why: str) -> None:
    engine = make_engine(door.database_url("postgres", host, ca), pool_size=1)
    with pytest.raises(Unavailable) as refused, transaction(engine):
        pass
    assert why in str(refused.value.__cause__)
    engine.dispose()


@pytest.mark.parametrize(
    ("host", "query", "accepted"),
    [
        (HOST, "?ssl_ca_certs={}/ca.crt", True),
        (HOST, "?ssl_ca_certs={}/other.crt", False),
        ("127.0.0.1", "?ssl_ca_certs={}/ca.crt", False),
        (HOST, "", False),  # rediss:// alone verifies too, against the machine's authorities
    ],
)
def test_only_the_first_hosts_broker_gets_the_password(door: Door, host: str, query: str, accepted: bool) -> None:
    with tls_before(door.broker, door.folder) as port:  # of its own: kombu shares connections by host and port
        assert Notifier(door.broker_url(port, host, query)).notify("nobodys") is accepted


def test_certificates_are_made_once_for_a_host(tmp_path: Path) -> None:
    folder = make_certificates(tmp_path / "tls", HOST)
    first = (folder / "ca.crt").read_bytes()
    assert make_certificates(folder, HOST).joinpath("ca.crt").read_bytes() == first
    assert not (folder / "ca.key").exists()  # nobody can sign another certificate
    assert (folder / "server.key").stat().st_mode & 0o777 == 0o600
    assert make_certificates(folder, "10.0.0.5").joinpath("ca.crt").read_bytes() != first


def test_a_run_posted_on_one_host_trains_on_the_other_and_goes_on_on_the_first(
    own_stack: Product, door: Door, s3: dict[str, str]
) -> None:
    own_stack.popen = subprocess.Popen  # processes of their own, as on two machines
    first, second = own_stack.home / "data", own_stack.home / "second"
    own_stack.environment |= s3 | {"SADDLE_STORAGE_URL": f"s3://saddle/{own_stack.home.name}"}
    own_stack.start_api()
    upload = own_stack.http.post("/v1/datasets?name=table.csv", content=CSV).json()
    dataset = SPEC["dataset"] | {"upload": upload["id"]}  # type: ignore[operator]
    database = own_stack.sql("SELECT current_database()")[0][0]
    remote = own_stack.start(
        "worker",
        SADDLE_WORKER_NAME="remote",
        SADDLE_DATA_DIR=str(second),
        SADDLE_DATABASE_URL=door.database_url(database),
        SADDLE_BROKER_URL=door.broker_url(door.broker_port),
    )
    posted = own_stack.post("/v1/experiments", SPEC | {"name": "far", "dataset": dataset})
    run = posted["runs"][0]["id"]
    until(lambda: own_stack.get(f"/v1/runs/{run}/checkpoints")["items"])
    assert (second / "datasets" / ".cache" / upload["sha256"] / "content").read_text() == CSV
    own_stack.stop(remote, signal.SIGKILL)
    own_stack.start_worker("local")
    ended = own_stack.wait_for_end(run)
    assert (ended["state"], ended["worker"]) == ("succeeded", "local")
    (resumed_at,) = own_stack.sql("SELECT start_step FROM attempt WHERE run_id = %s AND attempt = 2", run)[0]
    assert resumed_at >= 200  # from a checkpoint that the other host wrote
    assert own_stack.exact_series(run)[0] == list(range(1, 3_001))
    assert not list(first.glob("checkpoints/**/*.safetensors"))
    file = own_stack.http.get(f"/v1/runs/{run}/checkpoints/3000/tensors.safetensors")
    assert file.status_code == 200
