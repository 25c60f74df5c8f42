"""`python -m tests.faults --faults N --seed S`: hurt the whole product N times, and say what came of it.

`--mutants` runs the protocol's mutants instead, each of which must be caught, and the same faults on the real protocol.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.faults.drive import KINDS, Drive, Plan, Session
from tests.faults.mutants import MUTANTS
from tests.faults.report import complaints, table


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=50, help="that must land")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", help="comma-separated; all by default")
    parser.add_argument("--runs", type=int, default=0, help="to post at least")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--trainer", choices=["toy", "real"], default="toy", help="real: torch")
    parser.add_argument("--packs", type=int, default=1, help="runs that are trained together, at most")
    parser.add_argument("--mutant", choices=sorted(MUTANTS))
    parser.add_argument("--mutants", nargs="?", const=",".join(MUTANTS), help="all, or comma-separated ones")
    parser.add_argument("--list", action="store_true", help="name the kinds and end")
    parser.add_argument("--keep", action="store_true", help="leave the folder with the logs")
    given = parser.parse_args()
    if given.list:
        for each in KINDS.values():
            print(f"{each.name:28} {(each.inject.__doc__ or '').strip()}")
        return 0
    if given.mutants:
        return mutants(given.mutants.split(","), given.seed)
    kinds = MUTANTS[given.mutant].kinds if given.mutant else tuple(KINDS)
    kinds = tuple(given.kinds.split(",")) if given.kinds else kinds
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"no such kinds: {', '.join(sorted(unknown))}; --list names them")
    plan = Plan(given.faults, given.seed, kinds, given.runs, given.workers, trainer=given.trainer, mutant=given.mutant)
    plan = replace(plan, packs=given.packs)
    session = conduct(plan, given.keep)
    print(table(session))
    print(complaints(session))
    return 1 if session.verdict.violations or len(session.landed) < plan.faults else 0


def conduct(plan: Plan, keep: bool = False) -> Session:
    """One session in a folder of its own, which stays where something was wrong."""
    home = Path(tempfile.mkdtemp(prefix="saddle-faults-"))
    print(f"{plan.replay}  (logs: {home})", flush=True)
    session = Drive(plan, home, lambda line: print(line, flush=True)).run()
    if not keep and not session.verdict.violations:
        shutil.rmtree(home, ignore_errors=True)
    return session


def mutants(names: list[str], seed: int) -> int:
    """Each mutant is caught, and the protocol itself is not blamed for the same faults."""
    rows, wrong = [], 0
    for name in names:
        mutant = MUTANTS[name]
        session = conduct(Plan(mutant.faults, seed, mutant.kinds, mutant=name))
        found = session.verdict.violations
        wrong += not found
        first = f"{found[0][0]}: {found[0][1]}".split(": run")[0] if found else "nothing"
        rows.append(f"| {name} | {mutant.sentence} | {len(session.landed)} | {len(found)} | {first} |")
        print(rows[-1], flush=True)
    kinds = tuple(dict.fromkeys(kind for name in names for kind in MUTANTS[name].kinds))
    control = conduct(Plan(3 * len(kinds), seed, kinds))
    found = control.verdict.violations
    rows.append(f"| - | nothing: the control | {len(control.landed)} | {len(found)} | {found[0] if found else ''} |")
    print("\n| mutant | what is taken out | faults | violations | the first |\n|---|---|---|---|---|")
    print("\n".join(rows))
    print(f"caught {len(names) - wrong}/{len(names)}")
    return 1 if wrong or found else 0


if __name__ == "__main__":
    sys.exit(main())
