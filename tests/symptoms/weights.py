"""`python -m tests.symptoms.weights`: how right the diagnosis is under other weights of the model of evidence.

Only the half `fit` is looked at. Each dataset is judged with the weights that are best on all the others, which says
what fitting them would give on data that they were not fitted to.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from unittest import mock

from service.client.documents import parse_seeds
from service.diagnosis import weighing
from service.diagnosis.finding import Outcome as Result
from service.diagnosis.rules.registry import RULES
from tests.symptoms.__main__ import cache
from tests.symptoms.generate import drawn
from tests.symptoms.generated import Outcome, draw_facts, judged, trained_draws
from tests.symptoms.training import sources

NEARER, EXPLAINS, AGREES = (1.0, 2.0, 4.0, 8.0), (0.0, 0.75, 1.5, 3.0), (0.0, 0.8, 1.6)
KNOWN = ("sick", "healthy", "no effect")
Weights = tuple[float, float, float]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.symptoms.weights", description=__doc__)
    parser.add_argument("--seeds", default="0-2")
    parser.add_argument("--count", type=int, default=172)
    parser.add_argument("--healthy", type=int, default=48)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--stale", action="store_true", help="take what is kept, whatever code made it")
    given = parser.parse_args()
    how = (cache() / "generated", given.jobs, given.stale)
    draws = drawn("fit", parse_seeds(given.seeds), given.count, given.healthy, *how)
    records = trained_draws(draws, how[0], given.jobs, "" if given.stale else sources())
    facts = [draw_facts(draw, record) for draw, record in zip(draws, records, strict=True)]
    known = [each for each in zip(judged(draws, facts), facts, strict=True) if each[0].truth in KNOWN]
    asked = [(outcome, {rule.id: rule.judge(record) for rule in RULES}) for outcome, record in known]
    right: dict[Weights, Counter[str]] = {}
    for weights in product(NEARER, EXPLAINS, AGREES):
        names = dict(zip(("NEARER", "EXPLAINS", "AGREES"), weights, strict=True))
        with mock.patch.multiple(weighing, **names):
            right[weights] = _right([_told(outcome, findings) for outcome, findings in asked])
        print(f"{names}: {right[weights].total()} right")
    own = right[weighing.NEARER, weighing.EXPLAINS, weighing.AGREES].total()
    print(f"of {len(known)}: the weights of the service {own}, the best {max(each.total() for each in right.values())}")
    print(f"each dataset with the weights that are best on the others: {_held_out(list(right.values()))}")
    return 0


def _told(outcome: Outcome, findings: Mapping[str, Result]) -> Outcome:
    """Return the outcome with what these weights put first."""
    weighed = weighing.weigh(RULES, findings)
    first = weighed.finding(weighed.standing[0]) if weighed.standing else None
    return replace(outcome, level=first.level if first else "healthy", verdicts=(first.verdict,) if first else ())


def _right(found: Sequence[Outcome]) -> Counter[str]:
    """Return how many are right, by dataset and model."""
    return Counter(each.draw.family for each in found if each.right)


def _held_out(right: Sequence[Counter[str]]) -> int:
    """Return how many are right where each family is judged with the weights that are best on the others."""
    families = {family for each in right for family in each}
    return sum(max(right, key=lambda each: each.total() - each[family])[family] for family in families)


if __name__ == "__main__":
    sys.exit(main())
