"""What came out of generated trainings, as a section of the documentation."""

from collections import Counter
from collections.abc import Callable, Sequence

from tests.symptoms.diseases import DISEASES
from tests.symptoms.generated import HARMLESS, HARMS, Outcome
from tests.symptoms.report import table

HEAD = "## Generated trainings: "
HIGH = 2 / 3  # strength
BINS = ((0.0, 0.6), (0.6, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 1.01))


def figures(found: Sequence[Outcome], command: str) -> str:
    """Return all tables as Markdown."""
    sick = [each for each in found if each.truth == "sick"]
    high = [each for each in sick if each.draw.strength >= HIGH]
    healthy = [each for each in found if each.truth == "healthy"]
    harmless = [each for each in found if each.truth == "no effect"]
    alarms = Counter(each.verdicts[0] for each in healthy if not each.calm)
    summary = [
        f"`{command}`: sick where the validation loss comes {HARMS:.0%} of the way less far than the healthy twin's, "
        f"without effect below {HARMLESS:.0%}; {sum(each.truth == 'undecided' for each in found)} between and "
        f"{sum(each.truth == 'no twin' for each in found)} without a healthy twin are left out.",
        "",
        f"- sick: {_of([each.named for each in sick])} right; at high strength {_of([each.named for each in high])}; "
        f"{sum(each.level == 'healthy' for each in sick)} called healthy",
        f"- healthy: {_of([not each.calm for each in healthy])} with a warning or fault"
        + (f" ({', '.join(f'{name} {count}' for name, count in alarms.most_common())})" if alarms else ""),
        f"- diseases without effect: {_of([not each.right for each in harmless])} with a wrong warning",
        f"- findings at 80 to 100 % confidence: {_of([each.named for each in _said(found) if each.confidence >= 0.8])} "
        "right",
    ]
    return "\n".join(
        [
            *summary,
            "\n### By disease, and the strength at which it is noticed\n",
            _by_disease(found),
            "\n### By dataset and model\n",
            _grouped(sick, "dataset and model", lambda each: each.draw.family),
            "\n### Calibration\n",
            _calibration(found),
        ]
    )


def _said(found: Sequence[Outcome]) -> list[Outcome]:
    """Return those with a fault or a warning, whose truth is known; one on a healthy training is wrong."""
    return [each for each in found if not each.calm and each.truth in ("sick", "healthy", "no effect")]


def _of(parts: Sequence[bool]) -> str:
    return f"{sum(parts)} of {len(parts)}" + (f" ({sum(parts) / len(parts):.1%})" if parts else "")


def _by_disease(found: Sequence[Outcome]) -> str:
    rows = [["disease", "right", "weak", "medium", "strong", "no effect", "taken for"]]
    for name in DISEASES:
        mine = [each for each in found if each.draw.disease == name]
        sick = [each for each in mine if each.truth == "sick"]
        wrong = Counter(each.verdicts[0] if not each.calm else each.level for each in sick if not each.named)
        thirds = [[each.named for each in sick if int(3 * each.draw.strength) == third] for third in range(3)]
        rows.append(
            [
                name,
                f"{sum(each.named for each in sick)} of {len(sick)}",
                *(f"{sum(third)} of {len(third)}" if third else "" for third in thirds),
                str(sum(each.truth == "no effect" for each in mine) or ""),
                ", ".join(f"{verdict} {count}" for verdict, count in wrong.most_common()),
            ]
        )
    return table(rows)


def _grouped(found: Sequence[Outcome], head: str, key: Callable[[Outcome], str]) -> str:
    rows = [[head, "right", "of"]]
    for name in sorted({key(each) for each in found}):
        mine = [each for each in found if key(each) == name]
        rows.append([name, str(sum(each.named for each in mine)), str(len(mine))])
    return table(rows)


def _calibration(found: Sequence[Outcome]) -> str:
    rows = [["confidence of the first finding", "findings", "right"]]
    for low, high in BINS:
        mine = [each.named for each in _said(found) if low <= each.confidence < high]
        rows.append(
            [f"{low:.0%} to {min(high, 1):.0%}", str(len(mine)), f"{sum(mine) / len(mine):.0%}" if mine else ""]
        )
    return table(rows)


def sections(page: str) -> str:
    """Return the sections of generated trainings, which stand at the end of a page."""
    _, found, after = page.partition(HEAD)
    return f"\n{found}{after}" if found else ""


def written_between(page: str, half: str, text: str) -> str:
    """Return the page with the section of this half replaced, or added at its end."""
    head = f"{HEAD}{half}\n"
    before, found, after = page.partition(head)
    following = after.partition("\n## ")
    rest = f"\n## {following[2]}" if following[1] else ""
    return f"{before.rstrip()}\n\n{head}\n{text}\n{rest}" if not found else f"{before}{head}\n{text}\n{rest}"
