"""`python -m tests.symptoms.generate`: make healthy trainings sick in forty ways, and see what the diagnosis says.

Half `fit` is for changing rules, half `test` for judging them once: no dataset, kind of model or seed is in both. What
was trained is kept, so that a changed rule is judged in seconds.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from service.client.documents import parse_seeds
from tests.symptoms.__main__ import cache
from tests.symptoms.generated import Draw, Outcome, healthy_draws, outcomes, sick_draws, sound_draws
from tests.symptoms.generated_remedies import hit_rates, tried
from tests.symptoms.generated_report import figures, written_between
from tests.symptoms.healthy_specs import Half


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.symptoms.generate", description=__doc__)
    parser.add_argument("--half", choices=["fit", "test"], default="fit")
    parser.add_argument("--seeds", default="0", help="of the draws: each gives --count sick and --healthy healthy ones")
    parser.add_argument("--count", type=int, default=129, help="sick trainings; each disease in turn")
    parser.add_argument("--healthy", type=int, default=48, help="healthy ones, which the sick ones are made of")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument(
        "--stale", action="store_true", help="keep what was trained, and take it, whatever code made it"
    )
    parser.add_argument("--verify", type=int, default=0, help="train the remedies of so many sick ones, spread evenly")
    parser.add_argument("--only", help="print those whose disease has this word in it")
    parser.add_argument("--write", type=Path, help="the page whose section `Generated trainings` is replaced")
    given = parser.parse_args()
    how = (cache() / "generated", given.jobs, given.stale)
    draws = drawn(given.half, parse_seeds(given.seeds), given.count, given.healthy, *how)
    found = outcomes(draws, *how)
    for each in found:
        if given.only is None or given.only in each.draw.disease:
            print(line(each))
    command = f"python -m tests.symptoms.generate --half {given.half} --seeds {given.seeds} --count {given.count}"
    text = figures(found, f"{command} --healthy {given.healthy}")
    if given.verify:
        checked = list(tried(found, given.verify, *how))
        for each in checked:
            print(f"{each.outcome:13} {each.found.draw.disease:26} {each.found.verdicts[0]:26} {each.why}")
        text += "\n" + hit_rates(checked)
    print(text)
    if given.write is not None:
        given.write.write_text(written_between(given.write.read_text(), given.half, text))
    return 0


def drawn(half: Half, seeds: Sequence[int], count: int, healthy: int, *how: Any) -> list[Draw]:
    """Return the healthy and the sick draws of some seeds; it trains the healthy ones."""
    draws = list[Draw]()
    for seed in seeds:
        twins = healthy_draws(half, 10_000 * seed, healthy)
        draws += [*twins, *sick_draws(half, sound_draws(twins, *how), count, seed)]
    return draws


def line(each: Outcome) -> str:
    """One training."""
    mark = "right" if each.right else "WRONG"
    said = ", ".join(each.verdicts) or each.level
    disease = each.draw.disease or "healthy"
    return (
        f"{each.draw.number:7} {mark} {each.truth:9} {disease:28} {each.draw.strength:5.2f} {each.draw.family:20} "
        f"harm {each.harm:5.2f} {each.level:8} {each.confidence:.2f} {said}"
    )


if __name__ == "__main__":
    sys.exit(main())
