"""The dashboard and the alerts name only metrics and labels that a scrape has."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from service.api.app import create_app
from service.db.runs import workers
from service.db.session import transaction
from service.process import monitoring
from service.settings import Settings
from tests.fixtures.api import SPEC

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "monitoring"
METRIC = re.compile(r"\b(?:saddle|http_server|process)_\w+|\bup\b")
MATCHED = re.compile(r"(\w+)\{([^}]*)\}")
PROMETHEUS_OWN = {"up": {"job", "instance"}}
FUNCTIONS = {"max", "min", "sum", "by", "unless", "on", "rate", "increase", "histogram_quantile", "time", "topk", "and"}


@pytest.fixture
def scraped(settings: Settings, key: str, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """The labels of every metric, in a server where each figure has a value."""
    monkeypatch.setattr(monitoring, "KEPT_S", 0.0)
    with transaction(engine) as connection:
        workers.announce(connection, "w", "cpu", "host", 1, "1", {"kind": "cpu"})
    app = create_app(settings.model_copy(update={"metrics": True, "broker_url": "redis://127.0.0.1:1"}))
    found: dict[str, set[str]] = defaultdict(set)
    with TestClient(app, headers={"Authorization": f"Bearer {key}"}) as client:
        assert client.post("/v1/experiments", json=SPEC).status_code == 201
        for thread in client.app_state["runtime"].readiness._threads:
            thread.tasks.succeeded_at["something"] = 1.0
        for family in text_string_to_metric_families(client.get("/metrics").text):
            for sample in family.samples:
                found[sample.name] |= set(sample.labels)
    return found


def expressions() -> Iterator[str]:
    for panel in json.loads((FOLDER / "grafana.json").read_text())["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (rule["expr"] for rule in rules())


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def test_every_metric_and_label_they_name_is_in_a_scrape(scraped: dict[str, set[str]]) -> None:
    used = set()
    for expression in expressions():
        names = set(METRIC.findall(expression))
        assert names, expression
        used |= names
        labels = {"job", "instance"}.union(*(scraped.get(name, PROMETHEUS_OWN.get(name, set())) for name in names))
        for name in names:
            assert name in scraped or name in PROMETHEUS_OWN, f"{name} in {expression}"
        for grouped in re.findall(r"(?:by|on) \(([^)]*)\)", expression):
            assert set(re.findall(r"\w+", grouped)) <= labels, expression
        for name, matchers in MATCHED.findall(expression):
            known = scraped.get(name, set()) | PROMETHEUS_OWN.get(name, set())
            assert set(re.findall(r"(\w+)(?:=|!)", matchers)) <= known, expression
        assert expression.count("(") == expression.count(")"), expression
        words = set(re.findall(r"\b([a-z_]+) ?\(", expression)) - {"job", "le"}
        assert words <= FUNCTIONS, expression
    own = {name for name in scraped if name.startswith("saddle_") and not name.endswith("_created")}
    assert own - used <= {"saddle_requests_working"}, "the dashboard shows everything"


def test_every_alert_says_what_is_wrong_and_how_bad_it_is() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        assert re.fullmatch(r"\d+[mh]", rule.get("for", "1m"))


def test_the_guide_names_every_metric_of_ours(scraped: dict[str, set[str]]) -> None:
    guide = (FOLDER.parent / "monitoring.md").read_text()
    own = {name for name in scraped if name.startswith("saddle_") and not name.endswith("_created")}
    shortened = {"saddle_runs_lost_total", "saddle_runs_preempted_total"}
    assert {name for name in own if name not in guide} <= shortened
