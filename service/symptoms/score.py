"""Scores of diagnoses on the symptom library: right or wrong, the confusions, and the shares."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from service.spec.component import Json
from service.symptoms.library import Expectation

NOTHING = "nothing"  # in place of a verdict


@dataclass(frozen=True)
class Result:
    """The diagnosis of one run, with the right one."""

    symptom: str
    seed: int
    expect: Expectation
    level: str
    verdicts: tuple[str, ...]  # gravest first
    finding: str | None  # id of the gravest if it is a fault with a patch, so that it can be verified
    run_id: str = ""

    @classmethod
    def of(
        cls,
        symptom: str,
        expect: Expectation,
        seed: int,
        level: str,
        findings: Sequence[Mapping[str, Any]],
        run_id: str = "",
    ) -> "Result":
        """Return the result for the findings of a diagnosis as the API sends them."""
        first = findings[0] if findings else None
        tried = first["id"] if first and first["level"] == "fault" and first["patch"] else None
        return cls(symptom, seed, expect, level, tuple(each["verdict"] for each in findings), tried, run_id)

    @property
    def right(self) -> bool:
        """Whether it is the expected diagnosis."""
        return self.expect.right(self.level, self.verdicts)

    @property
    def first(self) -> str:
        """The gravest verdict, if it is a fault or a warning."""
        return self.verdicts[0] if self.verdicts and self.level in ("fault", "warning") else NOTHING

    @property
    def mark(self) -> tuple[str, str]:
        """A word for the result, and its colour."""
        if self.right:
            return "right", "green"
        alarm = self.expect.healthy and self.level in ("fault", "warning")
        return ("false alarm" if alarm else "wrong", "red")

    def as_json(self) -> Json:
        """Return a JSON object."""
        return asdict(self) | {"expect": self.expect.model_dump(mode="json"), "right": self.right}


@dataclass(frozen=True)
class Verified:
    """The outcome of a remedy that was verified."""

    result: Result
    outcome: str  # helped, did_not_help, symptom_gone, undecided
    why: str = ""

    def as_json(self) -> Json:
        """Return a JSON object."""
        tried = self.result
        return {"symptom": tried.symptom, "seed": tried.seed, "verdict": tried.first} | {
            "outcome": self.outcome,
            "why": self.why,
        }


@dataclass(frozen=True)
class Summary:
    """The counts over a whole library, and their shares."""

    broken: int
    right: int
    healthy: int
    false_faults: int  # on healthy ones
    false_warnings: int
    tried: int
    helped: int

    @property
    def share_right(self) -> float | None:
        """The share of broken trainings with a right diagnosis; None without any."""
        return self.right / self.broken if self.broken else None

    @property
    def share_helped(self) -> float | None:
        """The share of verified remedies that helped; None without any."""
        return self.helped / self.tried if self.tried else None

    def as_json(self) -> Json:
        """Return a JSON object."""
        return asdict(self) | {"share_right": self.share_right, "share_helped": self.share_helped}

    def lines(self) -> list[str]:
        """Return sentences for people."""
        said = []
        if self.share_right is not None:
            said.append(f"broken: {self.right} of {self.broken} right ({self.share_right:.1%})")
        if self.healthy:
            said.append(f"healthy: {self.false_faults} faults and {self.false_warnings} warnings on {self.healthy}")
        if self.share_helped is not None:
            said.append(f"remedies: {self.helped} of {self.tried} helped ({self.share_helped:.1%})")
        return said


def summarise(results: Sequence[Result], checked: Sequence[Verified] = ()) -> Summary:
    """Return the counts of these results and verifications."""
    broken = [each for each in results if not each.expect.healthy]
    healthy = [each for each in results if each.expect.healthy]
    levels = Counter(each.level for each in healthy)
    return Summary(
        broken=len(broken),
        right=sum(each.right for each in broken),
        healthy=len(healthy),
        false_faults=levels["fault"],
        false_warnings=levels["warning"],
        tried=len(checked),
        helped=sum(each.outcome == "helped" for each in checked),
    )


def confusion_table(results: Sequence[Result]) -> list[list[str]]:
    """Return the confusion table with its header; a right alternative counts as the first expected verdict."""
    counted: Counter[tuple[str, str]] = Counter()
    for each in results:
        wanted = NOTHING if each.expect.healthy else each.expect.verdicts[0]
        counted[wanted, wanted if each.right else each.first] += 1
    rows = sorted({wanted for wanted, _ in counted})
    body = []
    for wanted in rows:
        right = counted[wanted, wanted]
        others = {found: n for (row, found), n in counted.items() if row == wanted and found != wanted}
        wrong = ", ".join(f"{found} {n}" for found, n in sorted(others.items(), key=lambda each: -each[1]))
        body.append([wanted, str(right), str(right + sum(others.values())), wrong])
    return [["expected", "right", "of", "taken for"], *body]
