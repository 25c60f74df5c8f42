"""What the files for several hosts promise: TLS or nothing, published where asked, no right that is not needed."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings
from tests.deployment.conftest import SECRETS, filled

HOSTS = Path(__file__).resolve().parents[2] / "worker" / "hosts"
GIVEN = SECRETS | {
    "SADDLE_HOST": "first.example.org",
    "SADDLE_HOSTS_BIND": "10.0.0.5",
    "SADDLE_STORAGE_URL": "s3://bucket/saddle",
}
WORKERS = ("worker", "worker-gpu")


def read(file: str, environment: dict[str, str] = GIVEN) -> dict[str, Any]:
    services: dict[str, Any] = filled(yaml.safe_load((HOSTS / file).read_text()), environment)["services"]
    return services


@pytest.mark.parametrize(
    ("file", "needed"),
    [
        ("first-host.yml", ["SADDLE_HOST", "SADDLE_HOSTS_BIND", "SADDLE_STORAGE_URL"]),
        (
            "worker-host.yml",
            ["SADDLE_HOST", "SADDLE_STORAGE_URL", "SADDLE_WORKER_DB_PASSWORD", "SADDLE_BROKER_PASSWORD"],
        ),
    ],
)
def test_nothing_starts_without_what_a_host_needs_and_it_needs_nothing_else(file: str, needed: list[str]) -> None:
    read(file, {name: GIVEN[name] for name in needed})
    for missing in needed:
        with pytest.raises(LookupError, match=missing):
            read(file, {name: GIVEN[name] for name in needed if name != missing})


def test_postgres_and_the_broker_are_published_over_tls_on_the_named_address() -> None:
    services = read("first-host.yml")
    assert services["db"]["ports"] == ["10.0.0.5:5432:5432"]
    assert "-cssl=on" in services["db"]["command"]
    assert "-chba_file=/run/tls/pg_hba.conf" in services["db"]["command"]
    assert services["broker"]["ports"] == ["10.0.0.5:6380:6380"]
    assert services["broker"]["environment"]["BROKER_SETTINGS"].splitlines()[0] == "tls-port 6380"
    assert {name for name, service in services.items() if "ports" in service} == {"db", "broker"}
    main = yaml.safe_load((HOSTS.parents[1] / "docker-compose.yml").read_text())["services"]["broker"]["command"][-1]
    assert "$$BROKER_SETTINGS" in main


def test_nobody_logs_in_over_tcp_without_tls() -> None:
    script = (HOSTS / "certificates.sh").read_text()
    rules = [line.split() for line in script.partition("<<'END'\n")[2].partition("END\n")[0].splitlines()]
    assert [rule[0] for rule in rules] == ["local", "hostssl", "hostssl"]
    (remote,) = (rule for rule in rules if rule[3:4] == ["all"])
    assert remote[1:3] == ["saddle", "saddle_worker,saddle_reader"]  # neither the owner nor the API


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_host_verifies_whom_it_talks_to(name: str) -> None:
    environment = read("worker-host.yml")[name]["environment"]
    database, broker = environment["SADDLE_DATABASE_URL"], environment["SADDLE_BROKER_URL"]
    assert database.endswith("@first.example.org:5432/saddle?sslmode=verify-full&sslrootcert=/run/saddle/ca.crt")
    assert broker.endswith("@first.example.org:6380/0?ssl_ca_certs=/run/saddle/ca.crt")
    assert broker.startswith("rediss://:")
    known = {key.removeprefix("SADDLE_").lower(): value for key, value in environment.items() if "SADDLE_" in key}
    assert Settings(**known).storage_url == "s3://bucket/saddle"
    assert SECRETS["SADDLE_DB_PASSWORD"] not in str(environment)


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_has_the_same_rights_on_every_host(services: dict[str, Any], name: str) -> None:
    ours, first = read("worker-host.yml")[name], services[name]
    same = ("image", "init", "read_only", "cap_drop", "security_opt", "restart", "tmpfs", "stop_grace_period")
    for key in (*same, "deploy", "healthcheck", "logging"):
        assert ours[key] == first[key], key
    assert "ports" not in ours


def test_the_certificates_are_made_by_a_container_without_rights_or_network() -> None:
    service = read("first-host.yml")["certificates"]
    assert (service["read_only"], service["cap_drop"], service["network_mode"]) == (True, ["ALL"], "none")
    assert service["restart"] == "no"
