"""The view metric_point decodes in SQL what the codec packs in numpy."""

import struct
import uuid

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from service.db.access.principal import Principal
from service.db.experiments.experiments import add
from service.db.metrics.codec import pack
from service.db.runs import claims, leases
from service.db.session import transaction
from service.spec.experiment import Experiment

SPEC = Experiment.model_validate_json(
    """{"dataset": {"kind": "iris"}, "model": {"kind": "linear"}, "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"}, "steps": 1000}"""
)
AWKWARD = [
    0.0,
    -0.0,
    1.5,
    -2.25e-310,
    5e-324,
    -5e-324,
    1.7976931348623157e308,
    float("nan"),
    float("inf"),
    -float("inf"),
    0.1,
]


def bits(value: float) -> bytes:
    return struct.pack("<d", float("nan") if value != value else value)


def held(engine: Engine, principal: Principal) -> claims.Claim:
    with transaction(engine) as connection:
        add(connection, principal, SPEC, "cpu")
        claim = claims.claim(connection, ["cpu"], "w", uuid.uuid4().hex)
    assert claim is not None
    return claim


def seen(engine: Engine, run_id: str, name: str) -> list[tuple[int, float]]:
    with transaction(engine) as connection:
        rows = connection.execute(
            text("SELECT step, value FROM metric_point WHERE run = :run AND name = :name ORDER BY step"),
            {"run": run_id, "name": name},
        )
        return [(row.step, row.value) for row in rows]


def test_the_view_shows_every_packed_form_exactly(engine: Engine, principal: Principal) -> None:
    claim = held(engine, principal)
    single = [float(np.float32(v)) for v in (0.1, -3.5, 1e-42, 1e38, float("nan"), float("inf"), -0.0)]
    written = {
        "double": (list(range(1, 12)), AWKWARD),
        "single": (list(range(10, 80, 10)), single),
        "constant": ([1, 2, 3], [0.1, 0.1, 0.1]),
        "uneven": ([0, 5, 2**40], [1.0, 2.0, 3.0]),
    }
    with transaction(engine) as connection:
        leases.flush(connection, claim, {name: pack(steps, values) for name, (steps, values) in written.items()})
    for name, (steps, values) in written.items():
        found = seen(engine, claim.run_id, name)
        assert [step for step, _ in found] == steps, name
        assert [bits(value) for _, value in found] == [bits(value) for value in values], name


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.floats(width=64), min_size=1, max_size=20))
def test_the_view_equals_the_codec_for_any_doubles(engine: Engine, principal: Principal, values: list[float]) -> None:
    claim = held(engine, principal)
    with transaction(engine) as connection:
        leases.flush(connection, claim, {"x": pack(np.arange(1, len(values) + 1), values)})
    assert [bits(value) for _, value in seen(engine, claim.run_id, "x")] == [bits(value) for value in values]
