"""What docker-compose.yml promises: nothing reachable but the proxy, no rights that are not needed, no lost work."""

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service import tracing
from service.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ["db", "broker", "migrate", "proxy", "api", "worker", "worker-gpu"]
ONE_SHOT = {"migrate"}
PUBLISHED = {"proxy"}
SECRETS = ("SADDLE_DB_PASSWORD", "SADDLE_API_DB_PASSWORD", "SADDLE_WORKER_DB_PASSWORD", "SADDLE_BROKER_PASSWORD")
KNOWN = {f"SADDLE_{name.upper()}" for name in Settings.model_fields}
DRAIN_MARGIN_S = 20  # to notice the signal, write the last rows and end

Compose = dict[str, Any]


def seconds(duration: str) -> float:
    assert duration.endswith("s")
    return float(duration[:-1])


def test_the_services_are_these(services: Compose) -> None:
    assert sorted(services) == sorted(SERVICES)


@pytest.mark.parametrize("secret", SECRETS)
def test_without_a_secret_nothing_starts(read_compose: Callable[[dict[str, str]], Compose], secret: str) -> None:
    others = {name: "x" for name in SECRETS if name != secret}
    with pytest.raises(LookupError, match=secret):
        read_compose(others)
    with pytest.raises(LookupError, match=secret):
        read_compose(others | {secret: ""})


def test_every_use_of_a_secret_insists_on_it() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    uses = re.findall(r"\$\{SADDLE_(?!READER|SMTP)\w+_PASSWORD(..)", text)  # a reader and a mail server are optional
    assert uses
    assert set(uses) == {":?"}


def test_the_secrets_reach_those_who_need_them(read_compose: Callable[[dict[str, str]], Compose]) -> None:
    given = {name: f"given-{name}" for name in SECRETS}
    services = read_compose(given)["services"]
    assert services["db"]["environment"]["POSTGRES_PASSWORD"] == given["SADDLE_DB_PASSWORD"]
    assert services["broker"]["environment"]["REDISCLI_AUTH"] == given["SADDLE_BROKER_PASSWORD"]
    logins = {"migrate": "saddle:{SADDLE_DB_PASSWORD}", "api": "saddle_api:{SADDLE_API_DB_PASSWORD}"}
    logins |= dict.fromkeys(("worker", "worker-gpu"), "saddle_worker:{SADDLE_WORKER_DB_PASSWORD}")
    for name, login in logins.items():
        assert f"//{login.format(**given)}@db" in services[name]["environment"]["SADDLE_DATABASE_URL"]
    for name in ("api", "worker", "worker-gpu"):
        assert f":{given['SADDLE_BROKER_PASSWORD']}@broker" in services[name]["environment"]["SADDLE_BROKER_URL"]


def test_only_the_migration_knows_the_owners_password(read_compose: Callable[[dict[str, str]], Compose]) -> None:
    given = {name: f"given-{name}" for name in SECRETS}
    told = read_compose(given)["services"].items()
    owners = {name for name, service in told if given["SADDLE_DB_PASSWORD"] in str(service.get("environment"))}
    assert owners == {"db", "migrate"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_no_right_it_does_not_need(services: Compose, name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service.get("privileged", False) is False
    assert "no-new-privileges:true" in service["security_opt"]
    assert not any("docker.sock" in volume for volume in service.get("volumes", []))


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_an_init_that_passes_signals_on(services: Compose, name: str) -> None:
    assert services[name]["init"] is True


@pytest.mark.parametrize("name", SERVICES)
def test_memory_and_processes_are_limited(services: Compose, name: str) -> None:
    limits = services[name]["deploy"]["resources"]["limits"]
    assert limits["memory"][-1] in "mg"
    assert int(limits["pids"]) > 0


@pytest.mark.parametrize("name", SERVICES)
def test_what_runs_on_is_health_checked_and_comes_back(services: Compose, name: str) -> None:
    service = services[name]
    if name in ONE_SHOT:
        assert service["restart"] == "no"
        return
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert seconds(service["healthcheck"]["timeout"]) >= 5  # a busy machine is not an ill one


@pytest.mark.parametrize("name", sorted(set(SERVICES) - PUBLISHED))
def test_nothing_but_the_proxy_can_be_reached_from_outside(compose: Compose, name: str) -> None:
    service = compose["services"][name]
    assert "ports" not in service
    assert service.get("network_mode") is None
    assert service["networks"] == (["front", "back"] if name == "api" else ["back"])
    assert compose["networks"]["back"]["internal"] is True


def test_the_proxy_listens_on_this_machine_only_unless_told_otherwise(
    services: Compose, read_compose: Callable[[dict[str, str]], Compose]
) -> None:
    assert services["proxy"]["ports"] == ["127.0.0.1:8000:8080"]
    wide = read_compose(dict.fromkeys(SECRETS, "x") | {"SADDLE_BIND": "10.0.0.5", "SADDLE_PORT": "443"})
    assert wide["services"]["proxy"]["ports"] == ["10.0.0.5:443:8080"]


def test_the_api_believes_the_proxys_address_alone(read_compose: Callable[[dict[str, str]], Compose]) -> None:
    for given, address in (({}, "10.213.77.2"), ({"SADDLE_FRONT": "10.9.8"}, "10.9.8.2")):
        compose = read_compose(dict.fromkeys(SECRETS, "x") | given)
        services, (network,) = compose["services"], compose["networks"]["front"]["ipam"]["config"]
        assert services["api"]["environment"]["SADDLE_TRUSTED_PROXIES"] == address
        assert services["proxy"]["networks"] == {"front": {"ipv4_address": address}}
        dynamic = ipaddress.ip_network(network["ip_range"])
        assert dynamic.subnet_of(ipaddress.ip_network(network["subnet"]))
        assert ipaddress.ip_address(address) not in dynamic, "no other container may get it"


def test_tls_is_what_two_named_files_make(services: Compose, read_compose: Callable[[dict[str, str]], Compose]) -> None:
    assert services["proxy"]["environment"]["SADDLE_TLS_CERTIFICATE"] == ""
    given = {"SADDLE_TLS_CERTIFICATE": "/etc/a.crt", "SADDLE_TLS_KEY": "/etc/a.key"}
    proxy = read_compose(dict.fromkeys(SECRETS, "x") | given)["services"]["proxy"]
    assert given.items() <= proxy["environment"].items()
    assert proxy["volumes"] == ["/etc/a.crt:/run/saddle/tls.crt:ro", "/etc/a.key:/run/saddle/tls.key:ro"]


def test_the_api_answers_to_this_machines_name_and_to_its_own_health_check(services: Compose) -> None:
    hosts = services["api"]["environment"]["SADDLE_ALLOWED_HOSTS"].split(",")
    assert hosts == ["localhost", "127.0.0.1"]
    assert "http://127.0.0.1:8000/v1/readyz" in services["api"]["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", ["api", "worker", "worker-gpu"])
def test_nothing_starts_before_the_schema_stands(services: Compose, name: str) -> None:
    waits = services[name]["depends_on"]
    assert waits["migrate"]["condition"] == "service_completed_successfully"
    assert waits["db"]["condition"] == "service_healthy"
    assert waits["broker"]["condition"] == "service_started"  # its absence costs latency, never a start


@pytest.mark.parametrize("name", ["worker", "worker-gpu"])
def test_a_stopped_worker_has_time_for_its_last_checkpoint(services: Compose, name: str) -> None:
    drain_s = float(services[name]["environment"].get("SADDLE_DRAIN_S", Settings.model_fields["drain_s"].default))
    assert seconds(services[name]["stop_grace_period"]) >= drain_s + DRAIN_MARGIN_S


@pytest.mark.parametrize("name", ["worker", "worker-gpu"])
def test_workers_share_the_checkpoints_and_are_not_tied_to_a_name(services: Compose, name: str) -> None:
    mounted = "mounted:/var/lib/mounted:ro"
    assert services[name]["volumes"] == ["checkpoints:/var/lib/saddle", "datasets:/var/lib/saddle/datasets", mounted]
    api = services["api"]  # it only shows the checkpoints
    assert api["volumes"] == ["datasets:/var/lib/saddle/datasets", "checkpoints:/var/lib/kept:ro", mounted]
    for each in (services[name], api):
        assert each["environment"]["SADDLE_DATASET_FOLDER"] == "/var/lib/mounted"
    assert api["environment"]["SADDLE_CHECKPOINT_URL"] == "file:///var/lib/kept/checkpoints"
    assert "container_name" not in services[name]  # or it could not be scaled
    assert "SADDLE_WORKER_NAME" not in services[name]["environment"]  # each container has its own host name


def test_the_gpu_worker_waits_for_its_profile_and_has_a_slot_for_each_gpu(
    services: Compose, read_compose: Callable[[dict[str, str]], Compose]
) -> None:
    gpu = services["worker-gpu"]
    assert gpu["profiles"] == ["gpu"]
    assert gpu["environment"]["SADDLE_DEVICES"] == "all"
    given = read_compose(dict.fromkeys(SECRETS, "x") | {"SADDLE_DEVICES": "1+2"})["services"]
    assert [given[name]["environment"]["SADDLE_DEVICES"] for name in ("worker", "worker-gpu")] == ["cpu", "1+2"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert device["count"] == "all"


@pytest.mark.parametrize("name", ["migrate", "api", "worker", "worker-gpu"])
def test_every_setting_is_one_the_program_reads(services: Compose, name: str) -> None:
    environment = {key: value for key, value in services[name]["environment"].items() if key not in tracing.ENDPOINTS}
    assert set(environment) <= KNOWN
    Settings(**{key.removeprefix("SADDLE_").lower(): value for key, value in environment.items()})


@pytest.mark.parametrize("name", ["upload_bytes", "requests_per_key", "requests_per_address", "requests_at_once"])
def test_a_limit_is_the_programs_own_unless_it_is_set(
    services: Compose, read_compose: Callable[[dict[str, str]], Compose], name: str
) -> None:
    variable = f"SADDLE_{name.upper()}"
    assert float(services["api"]["environment"][variable]) == Settings.model_fields[name].default
    given = read_compose(dict.fromkeys(SECRETS, "x") | {variable: "77"})["services"]
    assert given["api"]["environment"][variable] == "77"


def test_the_database_keeps_its_files_in_the_volume(services: Compose) -> None:
    (volume,) = services["db"]["volumes"]
    assert services["db"]["environment"]["PGDATA"].startswith(volume.partition(":")[2] + "/18/")
    assert services["db"]["image"] == "postgres:18"


def test_the_broker_forgets_no_notification_and_wants_a_password(services: Compose) -> None:
    command = services["broker"]["command"][-1]
    for line in ("requirepass $REDISCLI_AUTH", "appendonly yes", "maxmemory-policy noeviction"):
        assert line in command
    assert services["broker"]["volumes"] == ["bells:/data"]
