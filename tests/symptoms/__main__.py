"""`python -m tests.symptoms`: train the symptom library in this process and judge it; no server is needed.

What was trained is kept (SADDLE_SYMPTOMS, else the user's cache folder), so that a changed rule is judged in seconds.
Ends with 1 where fewer than 95 % of the broken ones are right, or a healthy one is called a fault.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from service.client.documents import parse_seeds
from service.symptoms.library import Symptom, detectable_symptoms, symptoms
from service.symptoms.score import confusion_table, summarise
from tests.symptoms.generated_report import sections
from tests.symptoms.judging import Judged, judged
from tests.symptoms.remedies import tried
from tests.symptoms.report import written

WANTED = 0.95


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.symptoms", description=__doc__)
    parser.add_argument("names", nargs="*", help="those whose name has one of these words in it; all by default")
    parser.add_argument("--seeds", default="0-4")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--library", type=Path, help="a folder of other documents of the same form")
    parser.add_argument("--why", action="store_true", help="also what every finding is drawn from")
    parser.add_argument("--verify", action="store_true", help="also train each fault's remedy, from the start")
    parser.add_argument("--write", type=Path, help="the table as Markdown")
    given = parser.parse_args()
    library = symptoms() if given.library is None else elsewhere(given.library)
    chosen = {n: s for n, s in library.items() if not given.names or any(word in n for word in given.names)}
    chosen = detectable_symptoms(chosen, len(parse_seeds(given.seeds)))
    found = judged(chosen, parse_seeds(given.seeds), cache(), given.jobs)
    for each in found:
        print(line(each))
        if given.why:
            print(why(each))
    results = [each.result for each in found]
    checked = list(tried(found, cache(), given.jobs)) if given.verify else []
    for verified in checked:
        print(f"{verified.result.symptom:30} {verified.result.seed} {verified.outcome:13} {verified.why}")
    print("\n".join("  ".join(f"{cell:26}" for cell in row) for row in confusion_table(results)))
    figures = summarise(results, checked)
    print("\n".join(figures.lines()))
    if given.write is not None:
        generated = sections(given.write.read_text()) if given.write.exists() else ""
        given.write.write_text(written(chosen, results, checked) + generated)
    return 1 if (figures.share_right or 1) < WANTED or figures.false_faults else 0


def cache() -> Path:
    """Where trainings are kept."""
    given = os.environ.get("SADDLE_SYMPTOMS")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "saddle-symptoms"


def elsewhere(folder: Path) -> dict[str, Symptom]:
    """Documents that are not in the library."""
    return {p.stem: Symptom.model_validate_json(p.read_text()) for p in sorted(folder.glob("*.json"))}


def line(each: Judged) -> str:
    """One run."""
    result, said = each.result, each.diagnosis.findings
    findings = ", ".join(f"{found.finding.level}:{found.finding.verdict}({found.rule.id})" for found in said)
    wanted = "" if result.right else f"   expected {result.expect.level} {'|'.join(result.expect.verdicts)}"
    return f"{result.mark[0]:11} {result.symptom:30} {result.seed} {result.level:8} {findings}{wanted}"


def why(each: Judged) -> str:
    """Evidence of the findings, and what the other rules came to."""
    lines = []
    for verdict in each.diagnosis.findings:
        seen = "; ".join(f"{e.name} {e.value} {e.relation} {e.threshold}" for e in verdict.finding.evidence)
        lines.append(
            f"    {verdict.rule.id} {verdict.finding.text} [{seen}] "
            f"{json.dumps(list(verdict.finding.patch), default=dict)}"
        )
    open_ = [c for c in each.diagnosis.checked if c.state in ("unknown", "suppressed")]
    lines += [f"    {c.rule.id} {c.state}: {c.why}" for c in open_]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
