"""Statistics over the runs of a group: of one value per run, and of curves."""

import math
from collections.abc import Iterable, Sequence

from service.analysis.aggregate import Band, aggregate_many
from service.analysis.bootstrap import bootstrap_means, widen
from service.schemas.statistics import CurveBand, Statistics


def statistics(samples: Sequence[Sequence[float]], overlaps: Sequence[float]) -> list[Statistics]:
    """Return the statistics of each group: `samples` holds one value per run, group by group; `overlaps`: of folds."""
    finite = [[value for value in sample if math.isfinite(value)] for sample in samples]
    intervals = [
        interval and widen(interval, values, overlap)
        for interval, values, overlap in zip(bootstrap_means(finite), finite, overlaps, strict=True)
    ]
    pairs = zip(aggregate_many(samples, overlaps), intervals, strict=True)
    return [
        Statistics.of(
            figures,
            ci_low=figures.low,
            ci_high=figures.high,
            bootstrap_low=interval and interval[0],
            bootstrap_high=interval and interval[1],
        )
        for figures, interval in pairs
    ]


def curve_band(x: Sequence[float], band: Band) -> CurveBand:
    """Return a group's curves as one band over the points `x`."""
    return CurveBand(
        x=list(x),
        n=band.n.tolist(),
        mean=_or_null(band.mean.tolist()),
        sd=_or_null(band.sd.tolist()),
        median=_or_null(band.median.tolist()),
        q1=_or_null(band.q1.tolist()),
        q3=_or_null(band.q3.tolist()),
        min=_or_null(band.min.tolist()),
        max=_or_null(band.max.tolist()),
        ci_low=_or_null(band.low.tolist()),
        ci_high=_or_null(band.high.tolist()),
    )


def _or_null(values: Iterable[float]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values]
