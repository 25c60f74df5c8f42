"""The page's texts: both languages hold every key that the page asks for, and nothing else."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import get_args

import pytest
from pydantic_core.core_schema import ErrorType

from service.api.routes.page import FOLDER
from service.comparison.comparability import Severity
from service.diagnosis.diagnose import Overall
from service.lifecycle import Relation, State
from service.symptoms.library import Verdict

LANGUAGES = {language: [f"words.{language}.js"] for language in ("en", "zh")}
ENTRY = re.compile(r'^  "([^"]+)": "((?:[^"\\]|\\.)*)",$', re.MULTILINE)
SINGULAR = ".one"


def entries(language: str) -> list[tuple[str, str]]:
    """Return each key and its text, in the order of the files."""
    return [entry for name in LANGUAGES[language] for entry in ENTRY.findall((FOLDER / "lib" / name).read_text())]


def sources() -> str:
    """Return the scripts that ask for texts."""
    scripts = [path for path in FOLDER.rglob("*.js") if path.parent.name != "vendor" and "words." not in path.name]
    return "\n".join(path.read_text() for path in scripts)


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_line_of_a_table_is_one_key_with_a_text(language: str) -> None:
    for name in LANGUAGES[language]:
        lines = (FOLDER / "lib" / name).read_text().splitlines()
        assert len(ENTRY.findall("\n".join(lines))) == sum(line.startswith('  "') for line in lines), name
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


def test_a_translation_of_the_server_is_of_a_code_that_it_sends() -> None:
    said = ENTRY.findall((FOLDER / "lib" / "said.zh.js").read_text())
    sent = "\n".join(path.read_text() for path in FOLDER.parent.rglob("*.py"))
    known = set(get_args(ErrorType)) | set(re.findall(r'"([a-z_]+)"', sent)) | {"unknown_kind"}
    assert {code for code, _ in said} - known == set()
    assert len(said) == len(dict(said)) > 30


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
