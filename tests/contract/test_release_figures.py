"""The table of figures by release: it is read as it is written, and what got worse is marked."""

import pytest

from tests.benchmarks.figures import COLUMNS, HEADER, HEADING, LOG, Row, append, parse, worse

OLD = Row("1.0", "2026-01-31", dict.fromkeys(COLUMNS, 100.0))
TABLE = f"# Log\n\n## Newer\n\n| x |\n\n{HEADING}\n\nText.\n\n{HEADER}\n|---|\n{OLD.line()}\n\n## Older\n\n| y |\n"


def test_the_log_holds_the_table_from_the_first_release_on() -> None:
    first, second, *_ = parse(LOG.read_text())
    assert (first.release, second.release) == ("0.1.0", "0.2.0")
    assert first.values["first step readable, ms"] == 66.8
    assert set(second.values) == set(COLUMNS)


def test_an_appended_row_is_read_back_as_the_last_and_the_rest_stays() -> None:
    new = Row("1.1", "2026-02-28", {"cases": 7.0, "collect, s": 2.5})
    log = append(TABLE, new)
    assert parse(log) == [OLD, new]
    assert log.replace(f"{new.line()}\n", "") == TABLE


def test_a_table_with_other_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the table"):
        parse(TABLE.replace("cases", "tests"))
    with pytest.raises(ValueError, match="needs the table"):
        parse("# Log\n")


def test_only_what_is_more_than_a_tenth_worse_is_marked() -> None:
    new = Row("1.1", "2026-02-28", {"import, CPU s": 110.0, "POST answered, ms": 111.0, "collect, s": 50.0})
    assert worse(new, OLD) == {"POST answered, ms": pytest.approx(0.11)}
    assert new.line(OLD).count("WORSE") == 1
    assert "| 111.0 WORSE by 11% |" in new.line(OLD)
    assert "WORSE" not in new.line()


def test_more_cases_and_what_was_not_measured_are_not_worse() -> None:
    new = Row("1.1", "2026-02-28", {"cases": 500.0, "collect, s": 500.0})
    old = Row("1.0", "2026-01-31", {"cases": 100.0, "API at rest, MiB": 100.0})
    assert worse(new, old) == {}
