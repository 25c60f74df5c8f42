"""The page's texts: both languages hold every key that the page asks for, and nothing else."""

import ast
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from pydantic_core.core_schema import ErrorType

from service.api.routes.page import FOLDER
from service.comparison.comparability import Severity, aspects
from service.diagnosis.diagnose import Overall
from service.diagnosis.rules.registry import RULES
from service.errors import Fenced, RunFailure, SaddleError
from service.lifecycle import BUDGETS, DEVICE, PERMANENT, Relation, State
from service.symptoms.library import Verdict

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ("en", "zh")
SAID = "export const said"  # behind it a file has what the server says, by its code
ENTRY = re.compile(r'^  "([^"]+)": "((?:[^"\\]|\\.)*)",$', re.MULTILINE)
SINGULAR = ".one"


def entries(language: str) -> list[tuple[str, str]]:
    """Return each key of the page's own texts with its text, in the order of the file."""
    return ENTRY.findall(read(language).partition(SAID)[0])


def read(language: str) -> str:
    return (FOLDER / "lib" / f"words.{language}.js").read_text()


def sources() -> str:
    """Return the scripts that ask for texts."""
    scripts = [path for path in FOLDER.rglob("*.js") if path.parent.name != "vendor" and "words." not in path.name]
    return "\n".join(path.read_text() for path in scripts)


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_line_of_a_table_is_one_key_with_a_text(language: str) -> None:
    lines = read(language).splitlines()
    assert len(ENTRY.findall("\n".join(lines))) == sum(line.startswith('  "') for line in lines)
    keys = Counter(key for key, _ in entries(language))
    assert [key for key, n in keys.items() if n > 1] == []
    assert [key for key, text in entries(language) if not text.strip()] == []


def test_no_key_is_missing_in_either_language() -> None:
    english, chinese = dict(entries("en")), dict(entries("zh"))
    assert len(english) > 300
    assert {key for key in english if not key.endswith(SINGULAR)} == set(chinese)
    for key, text in chinese.items():
        assert placeholders(text) == placeholders(english[key]), key


def test_a_singular_belongs_to_a_plural_that_counts() -> None:
    english = dict(entries("en"))
    for key, text in english.items():
        if key.endswith(SINGULAR):
            plural = english[key.removesuffix(SINGULAR)]
            assert placeholders(text) == placeholders(plural) - {"n"}, key
            assert "{n}" in plural, key


def test_the_page_asks_for_no_other_key_and_for_every_one() -> None:
    """Asked for as `t("key")`, `t(flag ? "one" : "other")`, or with a prefix as `t(`prefix.${word}`)`."""
    source, english = sources(), dict(entries("en"))
    literal = set(re.findall(r'\b(?:t|findText)\("([^"]+)"', source))
    assert literal - set(english) == set()
    prefixes = tuple(set(re.findall(r"\b(?:t|findText)\(`([a-z.]+\.)\$\{", source)))
    for prefix in prefixes:
        assert any(key.startswith(prefix) for key in english), prefix
    plain = {key for key in english if not key.endswith(SINGULAR) and not key.startswith(prefixes)}
    assert {key for key in plain - literal if f'"{key}"' not in source} == set()


@cache
def all_calls() -> dict[str, list[ast.Call]]:
    """Return every call in the service and the worker by the name of what is called."""
    found: dict[str, list[ast.Call]] = {}
    for path in [*(ROOT / "service").rglob("*.py"), *(ROOT / "worker").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                found.setdefault(getattr(node.func, "id", getattr(node.func, "attr", "")), []).append(node)
    return found


def literals(call: ast.Call, at: int, name: str) -> set[str]:
    """Return the texts that an argument can be, by its place or name; a code that is computed has none."""
    given = [*call.args[at : at + 1], *(each.value for each in call.keywords if each.arg == name)]
    found = {each.value for node in given for each in ast.walk(node) if isinstance(each, ast.Constant)}
    return {each for each in found if isinstance(each, str) and re.fullmatch(r"[a-z0-9_]+[a-z0-9]", each)}


def codes_of_errors() -> set[str]:
    """Return the codes of all classes of errors that become answers."""
    open_ones, found = [SaddleError], set[str]()
    while open_ones:
        each = open_ones.pop()
        open_ones += each.__subclasses__()
        found |= {each.code} if each.__module__ == SaddleError.__module__ else set()
    return found - {Fenced.code, RunFailure.code}


def codes_that_the_page_shows() -> set[str]:
    """Return every code by which the page finds words for what the server says.

    Those of errors, problems and warnings, of failures, of aspects of comparability, and of the rules of the diagnosis.
    """
    problems = {code for call in all_calls()["Problem"] for code in literals(call, 1, "code")}
    failures = {code for call in all_calls()["RunFailure"] for code in literals(call, 0, "kind")}
    failures |= {code for call in all_calls()["Failed"] for code in literals(call, 0, "kind")}
    failures |= {*PERMANENT, *DEVICE, *(budget.code for budget in BUDGETS.values()), "cuda_oom", "crashed"}
    mismatches = {code for call in all_calls()["_mismatch"] for code in literals(call, 0, "aspect")} | {
        "hardware",
        "software",
    }
    mismatches |= {each.name for each in aspects("val/loss")}
    named = {f"failure.{code}" for code in failures} | {f"aspect.{code}" for code in mismatches}
    return codes_of_errors() | problems | named | {rule.id for rule in RULES}


def test_everything_that_the_server_says_by_a_code_has_chinese_words() -> None:
    """Pydantic's own codes have English words where no Chinese ones are written: they are many, and few are met."""
    said = dict(ENTRY.findall(read("zh").partition(SAID)[2]))
    known = codes_that_the_page_shows()
    assert len(known) > 200
    assert sorted(known - set(said)) == []
    of_the_page = {"unreachable"}
    assert sorted(set(said) - known - set(get_args(ErrorType)) - of_the_page - {"unknown_kind", "unknown_layer"}) == []
    assert [code for code, text in said.items() if text[-1] not in "。：？" and not code.startswith("R")] == []


@pytest.mark.parametrize(
    ("prefix", "values"),
    [
        ("relation", list(Relation)),
        ("state", list(State)),
        ("finding", get_args(Verdict)),
        ("severity", get_args(Severity)),
        ("level", get_args(Overall)),
    ],
    ids=["relation", "state", "finding", "severity", "level"],
)
def test_every_value_that_the_server_sends_has_a_text(prefix: str, values: Sequence[str]) -> None:
    known = dict(entries("en"))
    assert {f"{prefix}.{value}" for value in values} - set(known) == set()
