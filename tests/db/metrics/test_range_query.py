"""Range queries against their slow twin: any window at any level, whatever was joined, tiled, lost and cut before."""

import math
import uuid
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from service.analysis.reduce import Reduced, bucket_points, regroup
from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.metrics import range_query, rollups, write
from service.db.metrics.codec import pack
from service.db.metrics.range_query import SeriesKey
from service.db.metrics.rollup_codec import (
    CONSTANT,
    DOUBLE,
    GENERAL,
    SINGLE,
    PackedBuckets,
    join_in_order,
    pack_buckets,
    unpack_buckets,
)
from service.db.runs import claims, endings, leases, reaper
from service.db.runs.claims import Claim, SavedCheckpoint
from service.db.session import transaction
from service.lifecycle import State
from service.spec.experiment import Experiment

SPEC = Experiment.model_validate_json(
    """{"dataset": {"kind": "iris"}, "model": {"kind": "linear"}, "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"}, "steps": 100000000, "seeds": [0]}"""
)
COLUMNS = ("first_step", "last_step", "min", "max", "last", "count", "nonfinite")
Points = dict[int, float]


def slowly(points: Points, level: int, first: int, last: int) -> list[tuple[float, ...]]:
    """Buckets one point at a time; the mean exactly."""
    spans: dict[int, list[int]] = {}
    for step in sorted(points):
        if first >> level <= step >> level <= last >> level:
            spans.setdefault(step >> level, []).append(step)
    rows = []
    for steps in spans.values():
        finite = [points[step] for step in steps if math.isfinite(points[step])]
        least, most = (min(finite), max(finite)) if finite else (math.nan, math.nan)
        mean = float(sum(map(Fraction, finite)) / len(finite)) if finite else math.nan
        last_value = points[steps[-1]]
        rows.append((steps[0], steps[-1], least, most, last_value, len(steps), len(steps) - len(finite), mean))
    return rows


def assert_same(found: Reduced, expected: list[tuple[float, ...]]) -> None:
    columns = [getattr(found, name).tolist() for name in (*COLUMNS, "mean")]
    wanted = [list(column) for column in zip(*expected, strict=True)] or [[]] * 8
    for name, column, want in zip(COLUMNS, columns, wanted, strict=False):
        assert [math.nan if math.isnan(v) else v for v in column] == pytest.approx(want, rel=0, abs=0, nan_ok=True), (
            name
        )
    scale = max((abs(v) for column in wanted[2:4] for v in column if math.isfinite(v)), default=0.0)
    assert columns[-1] == pytest.approx(wanted[-1], rel=1e-12, abs=1e-13 * scale, nan_ok=True)


@pytest.fixture
def begin(engine: Engine, principal: Principal) -> Callable[[], Claim]:
    def begun() -> Claim:
        with transaction(engine) as connection:
            experiments.add(connection, principal, SPEC, "cpu")
        return take(engine)

    return begun


def take(engine: Engine) -> Claim:
    with transaction(engine) as connection:
        held = claims.claim(connection, ["cpu"], "w1", uuid.uuid4().hex)
    assert held is not None
    return held


def asked(engine: Engine, run_id: str) -> dict[str, SeriesKey]:
    with transaction(engine) as connection:
        rows = connection.execute(text("SELECT name, id FROM series WHERE run_id = :run"), {"run": run_id})
        return {name: SeriesKey(run_id, series_id) for name, series_id in rows}


def seen(engine: Engine, each: list[SeriesKey], level: int, first: int, last: int) -> list[Reduced]:
    with transaction(engine) as connection:
        found = range_query.buckets(connection, each, level, first, last)
    names = (*COLUMNS, "mean")
    return [
        Reduced(level=level, **{name: found.columns[name][low:high] for name in names})
        for low, high in zip(found.bounds, found.bounds[1:], strict=False)
    ]


class Training:
    """Acts as a worker and remembers what must be visible."""

    def __init__(self, engine: Engine, held: Claim, values: Callable[[np.ndarray[Any, Any]], Any], every: int) -> None:
        self.engine, self.held, self.values, self.every = engine, held, values, every
        self.loss: Points = {}
        self.evaluation: Points = {}
        self.step = 0

    def flush(self, n: int, save: bool = False) -> None:
        steps = np.arange(self.step + 1, self.step + n + 1)
        loss = np.asarray(self.values(steps), np.float64)
        sparse = steps[steps % self.every == 0]
        chunks = {"loss": pack(steps, loss), "lr": pack(steps, np.full(n, 0.1))}
        if len(sparse):
            chunks["val/loss"] = pack(sparse, sparse / 7)
        self.loss |= dict(zip(steps.tolist(), loss.tolist(), strict=True))
        self.evaluation |= {step: step / 7 for step in sparse.tolist()}
        self.step += n
        with transaction(self.engine) as connection:
            if save:
                saved = SavedCheckpoint(self.step, f"/nowhere/{self.held.attempt}/{self.step}", "0" * 64, 1)
                leases.save_checkpoint(connection, self.held, saved, chunks)
            else:
                leases.flush(connection, self.held, chunks)

    def lose(self) -> None:
        """The worker is lost; another goes on from the newest checkpoint with other values."""
        with transaction(self.engine) as connection:
            (beat,) = [each for each in reaper.beats(connection) if each.run_id == self.held.run_id]
            connection.execute(text("UPDATE run SET lost_count = 0"))
            reaper.reap(connection, beat)
        self.go_on()

    def go_on(self) -> None:
        self.held = take(self.engine)
        self.step = self.held.start_step
        for points in (self.loss, self.evaluation):
            for step in [step for step in points if step > self.step]:
                del points[step]

    def finish(self) -> None:
        with transaction(self.engine) as connection:
            endings.finish(connection, self.held, State.SUCCEEDED, {})

    def check(self, level: int, first: int, last: int) -> None:
        known = asked(self.engine, self.held.run_id)
        expected = {"loss": self.loss, "lr": dict.fromkeys(self.loss, 0.1), "val/loss": self.evaluation}
        names = [name for name in expected if name in known]
        found = seen(self.engine, [known[name] for name in names], level, first, last)
        for name, each in zip(names, found, strict=True):
            assert_same(each, slowly(expected[name], level, first, last))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Chunks of 64 points and tiles of 2 buckets, so that a short run has every tier."""
    monkeypatch.setattr(write, "MERGED_POINTS", 64)
    monkeypatch.setattr(rollups, "TILE_BUCKETS", 2)
    return


def awkward(steps: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    values = np.asarray(np.float32(np.sin(steps / 50) * 3), np.float64)
    values[steps % 211 == 0] = 1e6
    values[steps % 1013 == 0] = math.nan
    values[steps % 1511 == 0] = -math.inf
    return values


STEPS = st.lists(
    st.tuples(st.integers(1, 700), st.sampled_from(["flush", "flush", "flush", "save", "lose"])),
    min_size=1,
    max_size=14,
)
WINDOWS = st.lists(st.tuples(st.integers(0, 18), st.integers(0, 8000), st.integers(0, 8000)), min_size=3, max_size=3)


@pytest.mark.usefixtures("small")
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=STEPS, windows=WINDOWS, every=st.integers(1, 40), ended=st.booleans())
def test_any_window_at_any_level_equals_the_slow_twin(
    engine: Engine,
    begin: Callable[[], Claim],
    deeds: list[tuple[int, str]],
    windows: list[tuple[int, int, int]],
    every: int,
    ended: bool,
) -> None:
    training = Training(engine, begin(), awkward, every)
    for n, deed in deeds:
        training.flush(n, save=deed == "save")
        if deed == "lose" and training.held.attempt < 4:
            training.lose()
    for level, first, width in windows:
        training.check(level, first, first + width)
    training.finish()
    training.check(windows[0][0], windows[0][1], windows[0][1] + windows[0][2])
    if ended:
        training.check(4, 0, 2**40)


def tile_levels(engine: Engine) -> dict[int, int]:
    with transaction(engine) as connection:
        rows = connection.execute(text("SELECT level, count(*) AS count FROM metric_tile GROUP BY level"))
        return {row.level: row[1] for row in rows}


@pytest.mark.usefixtures("small")
def test_a_cut_hides_of_every_tier_exactly_what_the_later_attempt_replaces(
    engine: Engine, begin: Callable[[], Claim]
) -> None:
    training = Training(engine, begin(), awkward, every=3)
    for _ in range(12):
        training.flush(1000, save=True)
    assert min(tile_levels(engine).values()) > 0
    assert set(tile_levels(engine)) >= {6, 8, 10, 12}
    training.flush(700)
    training.lose()
    training.values = lambda steps: steps * 2.0
    for _ in range(6):
        training.flush(1000, save=True)
    training.finish()
    for level in (0, 3, 4, 6, 7, 8, 9, 11, 12, 13, 16, 20):
        training.check(level, 0, 20_000)
        training.check(level, 11_500, 12_700)


@pytest.mark.usefixtures("small")
def test_a_cut_to_the_very_beginning_hides_the_tiles_too(engine: Engine, begin: Callable[[], Claim]) -> None:
    training = Training(engine, begin(), awkward, every=3)
    for _ in range(6):
        training.flush(1000, save=True)
    with transaction(engine) as connection:  # as where both checkpoints that are kept cannot be read
        connection.execute(text("UPDATE checkpoint SET damaged = true"))
        connection.execute(text("UPDATE run SET checkpoint_step = 0"))
    training.lose()
    assert training.step == 0
    training.values = lambda steps: steps * 2.0
    training.flush(5000, save=True)
    for level in (0, 4, 8, 9, 12, 20):
        training.check(level, 0, 20_000)


def test_rows_read_do_not_grow_with_the_run(engine: Engine, begin: Callable[[], Claim]) -> None:
    training = Training(engine, begin(), lambda steps: np.float32(np.sin(steps / 9)), every=10_000)
    rows: list[int] = []
    read = range_query._rows

    def counted(*given: Any, **window: int) -> list[Any]:
        found = read(*given, **window)
        rows.append(len(found))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(range_query, "_rows", counted)
        for upto in (300_000, 1_200_000):
            while training.step < upto:
                training.flush(10_000, save=training.step % 100_000 == 90_000)
            for level, width in ((4, 16_000), (6, 64_000), (8, 256_000), (10, 10**6), (12, 2**40)):
                rows.clear()
                seen(engine, [asked(engine, training.held.run_id)["loss"]], level, upto - width, upto)
                assert sum(rows) < 90, (upto, level)
    assert set(tile_levels(engine)) == {6, 8, 10, 12}


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (np.full(300, 0.1), CONSTANT),
        (np.float32(np.arange(300) / 7), SINGLE),
        (np.arange(300) / 7, DOUBLE),
        (np.where(np.arange(300) == 50, np.nan, 1.0), GENERAL),
        (np.where(np.arange(300) % 2 == 0, 0.0, -0.0), SINGLE),
    ],
)
def test_each_packed_form_comes_back(values: Any, code: int) -> None:
    steps = np.arange(5, 305)
    reduced = bucket_points(steps, values.astype(np.float64), 4)[0]
    packed = pack_buckets(reduced)
    assert packed[0] == code
    back, owner = join_in_order(unpack_buckets([PackedBuckets(7, 4, 5, 304, packed)]))
    assert set(owner.tolist()) == {7}
    for name in (*COLUMNS, "mean"):
        wanted = getattr(reduced, name)
        assert getattr(back, name).tobytes() == wanted.tobytes() or np.isnan(wanted).any(), name


def test_rows_of_several_series_and_forms_are_put_in_order() -> None:
    rows = []
    for owner, first, values in (
        (1, 0, np.ones(64)),
        (0, 64, np.arange(64.0)),
        (0, 0, np.ones(64)),
        (1, 64, np.ones(64)),
    ):
        steps = np.arange(first, first + 64)
        rows.append(PackedBuckets(owner, 4, first, first + 63, pack_buckets(bucket_points(steps, values, 4)[0])))
    found, owner = regroup(join_in_order(unpack_buckets(rows))[0], 4)[0], join_in_order(unpack_buckets(rows))[1]
    assert owner.tolist() == [0] * 8 + [1] * 8
    assert found.first_step.tolist() == list(range(0, 128, 16)) * 2


def test_a_code_that_nobody_wrote_is_refused() -> None:
    with pytest.raises(ValueError, match="format code 9"):
        unpack_buckets([PackedBuckets(0, 4, 0, 15, bytes([9]) + bytes(8))])
