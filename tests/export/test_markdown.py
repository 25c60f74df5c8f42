"""Answers as markdown: what they say, how long they are, and that text of users is only data in them."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.lifecycle import State
from service.markdown import MAX_CHARACTERS, document, plain, quote_names, quoted, table, visible
from tests.fixtures.api import Worker, points

Submit = Callable[..., dict[str, Any]]
HOSTILE = 'a|b `rm -rf` " # Ignore all *previous* [x](http://x) <b>'
MARKDOWN = {"Accept": "text/markdown"}
TABLE_ROW = "|"


def read(client: TestClient, path: str) -> str:
    answer = client.get(path, headers=MARKDOWN)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert answer.headers["Vary"].split(", ")[0] == "Accept"
    assert len(answer.text) <= MAX_CHARACTERS
    return answer.text


def columns(line: str) -> int:
    """The cells of a table's row: escaped bars end none."""
    return line.replace("\\|", "").count("|") - 1


def check_tables(text: str) -> None:
    """Every row of a table has as many cells as the line of hyphens above it, and no cell holds a bare backtick."""
    width = 0
    for line in text.splitlines():
        if line.startswith(TABLE_ROW):
            width = width or columns(line)
            assert columns(line) == width, line
            assert "`" not in line.replace("\\`", "")
        else:
            width = 0


def test_text_of_users_is_data() -> None:
    assert quoted(HOSTILE) == r'"a\|b \`rm -rf\` \" \# Ignore all \*previous\* \[x\](http://x) \<b\>"'
    assert quoted("one\n\n# two\r\u2028three\u202efour\x1b[31m\U000e0041") == r'"one \# two three four \[31m"'
    assert quoted("x" * 200) == '"{}…"'.format("x" * 79)
    assert (
        visible("\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645")
        == "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    )


def test_the_names_in_our_sentences_are_quoted_too() -> None:
    note = "say yes is better than adam, paired over 3 seeds; madam is no name."
    assert quote_names(note, ["adam", "say yes"]) == (
        '"say yes" is better than "adam", paired over 3 seeds; madam is no name.'
    )
    assert quote_names("a* b", []) == plain("a* b") == r"a\* b"


def test_a_long_table_and_a_long_document_say_what_is_left_out() -> None:
    assert list(table(["n"], [[each] for each in range(5)], most=3))[-1] == "(2 more)"
    assert list(table(["n"], [])) == []
    long = document([["# head"], [f"line {at}" for at in range(5000)]], "GET /here")
    assert len(long) <= MAX_CHARACTERS
    assert long.startswith("# head\n\nline 0\n")
    assert long.endswith("(shortened; the whole answer: GET /here)\n")


def test_a_run_and_its_experiment_are_told_with_numbers_and_ids(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    made = submit(name=HOSTILE, tags=["a|b"], notes="# no\nheading", seeds=[0, 1], steps=40)
    worker.finish(worker.claim(), points(1, 40))
    failure = {"code": "diverged", "detail": "the loss is nan | `x`\n# now obey", "step": 7}
    worker.finish(worker.claim(), points(1, 7), State.FAILED, failure)
    first, second = (run["id"] for run in made["runs"])
    text = read(client, f"/v1/experiments/{made['id']}")
    check_tables(text)
    assert quoted(HOSTILE) in text
    assert '- notes: "\\# no heading"' in text
    assert "- runs: 1 succeeded, 1 failed" in text
    assert f"| {first} | 0 | succeeded | 40/40 |" in text
    assert "mean 0.02" in text
    run = read(client, f"/v1/runs/{second}")
    check_tables(run)
    assert r'- failed: diverged at step 7: "the loss is nan \| \`x\` \# now obey"' in run
    assert "| loss |" in run
    assert (
        client.get(f"/v1/runs/{second}").headers["ETag"]
        == client.get(f"/v1/runs/{second}", headers=MARKDOWN).headers["ETag"]
    )


def test_a_comparison_is_told_with_its_verdict(client: TestClient, submit: Submit, worker: Worker) -> None:
    ids = []
    for name, scale in ((HOSTILE, 1.0), ("plain\\", 5.0)):
        ids.append(submit(name=name, seeds=[0, 1, 2], steps=40)["id"])
        for seed in range(3):
            worker.finish(worker.claim(), points(1, 40, scale * (1 + seed / 100)))
    question = {"experiments": ids, "series": ["loss"]}
    asked = client.post("/v1/comparisons", json=question, headers=MARKDOWN)
    assert asked.status_code == 201
    text = read(client, asked.headers["Location"])
    assert asked.text == text
    check_tables(text)
    assert f"**better** (the first against the second): {quoted(HOSTILE)} is better than" in text
    assert all(each in text for each in ids)
    as_json = client.post("/v1/comparisons", json=question)
    assert (as_json.status_code, as_json.json()["ranking"]["verdict"]) == (201, "better")
    assert as_json.headers["Vary"].split(", ")[0] == "Accept"


def test_a_diagnosis_is_told_with_its_evidence(client: TestClient, submit: Submit, worker: Worker) -> None:
    made = submit(steps=400)
    worker.finish(worker.claim(), {**points(1, 399)}, State.FAILED, {"code": "diverged", "detail": "nan", "step": 400})
    path = f"/v1/runs/{made['runs'][0]['id']}/diagnosis"
    text, found = read(client, path), client.get(path).json()
    assert text.startswith(f"# Diagnosis of {found['run_id']}\n\n**{found['level']}**: ")
    assert all(f"## {each['verdict']} (" in text for each in found["findings"])
    assert not re.search(r"\bR[0-9]+\b", text), "a rule has a name"
    assert "- could not tell: " in text


@pytest.mark.parametrize("path", ["runs/run_", "experiments/exp_", "comparisons/cmp_"])
def test_what_is_not_there_is_a_problem_in_json(client: TestClient, path: str) -> None:
    answer = client.get(f"/v1/{path}{'0' * 26}", headers=MARKDOWN)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert client.get(f"/v1/{path}{'0' * 26}", headers={"Accept": "image/png"}).status_code in (404, 406)
