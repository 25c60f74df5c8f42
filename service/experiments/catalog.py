"""What can be chosen: the parts of each family, which pools can build them, and a schedule drawn before a run."""

import json
from collections.abc import Sequence
from functools import lru_cache

from service.db.runs.pools import Pool, pools
from service.db.session import Connection
from service.errors import Invalid, NotFound, Problem
from service.schemas.catalog import Catalog, Family, Kind, KindDetail, PlannedRates, SchedulePreview
from service.spec.catalog import BASES, CATALOG
from service.spec.component import Component, Json
from service.spec.experiment import Experiment
from service.spec.requirements import packages_of
from service.spec.schedules import curve

MAX_POINTS = 100_000


def served_pools(connection: Connection) -> list[Pool]:
    """Return the pools that have a worker now, by name."""
    return [pool for _, pool in sorted(pools(connection).items()) if pool.serving]


def catalog(served: Sequence[Pool]) -> Catalog:
    """Return every family with its parts."""
    return Catalog(items=[family_of(family, served) for family in CATALOG])


def family_of(family: str, served: Sequence[Pool]) -> Family:
    """Return one family's parts, or raise `NotFound` with the families that there are."""
    if family not in CATALOG:
        raise NotFound(f"There is no such family; there are: {', '.join(CATALOG)}.")
    field = next(
        (name for name, (plural, _) in BASES.items() if plural == family and name in Experiment.model_fields), None
    )
    items = [_kind(family, kind, part, served) for kind, part in CATALOG[family].items()]
    return Family(family=family, field=field, items=items)


def kind_of(family: str, kind: str, served: Sequence[Pool]) -> KindDetail:
    """Return one part with the JSON Schema of its fields, or raise `NotFound` with the kinds that there are."""
    members = CATALOG.get(family, {})
    if kind not in members:
        listed = f"in {family} there are: {', '.join(members)}" if members else f"families are: {', '.join(CATALOG)}"
        raise NotFound(f"There is no such kind; {listed}.")
    known = _kind(family, kind, members[kind], served)
    return KindDetail(**known.model_dump(), json_schema=_schema(members[kind]))


def _schema(part: type[Component]) -> Json:
    """Return the part's JSON Schema; pydantic makes one that holds itself a reference, which is looked up here."""
    found = part.model_json_schema()
    if "$ref" in found:
        found |= found["$defs"][found.pop("$ref").rpartition("/")[2]]
    return found


@lru_cache(maxsize=1)
def experiment_schema() -> bytes:
    """Return the JSON Schema of a spec as JSON, with every part that it can choose; it takes half a second to make."""
    return json.dumps(Experiment.model_json_schema()).encode()


def _kind(family: str, kind: str, member: type[Component], served: Sequence[Pool]) -> Kind:
    """Describe a part from its class, and from the workers that are there now."""
    needs = packages_of(member)
    return Kind(
        family=family,
        kind=kind,
        summary=(member.__doc__ or "").strip(),
        formula=member.formula,
        paper=member.paper,
        needs=list(needs),
        pools={pool.name: not pool.missing(needs) for pool in served},
    )


def check_preview(preview: SchedulePreview) -> None:
    """Raise `Invalid` for a schedule that contradicts itself or cannot be drawn."""
    schedule = preview.schedule
    found = [problem.under("/schedule") for problem in schedule.problems()]
    found += [problem.under("/schedule") for problem in schedule.run_problems(preview.steps)]
    if not schedule.pure:
        detail = f"its rate depends on {schedule.watched_series}, which is known only while a run trains."
        found.append(Problem("/schedule/kind", "not_previewable", detail))
    if preview.points == "exact" and preview.steps > MAX_POINTS:
        found.append(Problem("/points", "too_many_points", "exact is for fewer steps: give a number.", MAX_POINTS))
    if found:
        raise Invalid.of(found)


def draw(preview: SchedulePreview) -> PlannedRates:
    """Return the exact rate at evenly spread steps, the first and the last among them."""
    total, points = preview.steps, preview.points
    if points == "exact" or points >= total:
        steps = list(range(1, total + 1))
    else:
        steps = [1 + round(i * (total - 1) / (points - 1)) for i in range(points)]
    return PlannedRates(steps=steps, rates=curve(preview.schedule, preview.lr, steps, total))
