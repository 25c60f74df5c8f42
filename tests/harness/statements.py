"""The statements that a piece of work sends to Postgres."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

CONNECTING = ("", ";")  # what the pool sends to see whether a connection lives


@contextmanager
def sent_statements() -> Iterator[list[str]]:
    """Every statement that this thread sends inside; other threads of this process, as a poller, have their own.

    `executemany` sends its statement once for each set of values.
    """
    sent, mine = list[str](), threading.get_ident()
    execute, executemany = psycopg.Cursor.execute, psycopg.Cursor.executemany

    def record(query: Any, times: int = 1) -> None:
        if threading.get_ident() == mine and str(query) not in CONNECTING:
            sent.extend([str(query)] * times)

    def record_one(cursor: Any, query: Any, *given: Any, **options: Any) -> Any:
        record(query)
        return execute(cursor, query, *given, **options)

    def record_many(cursor: Any, query: Any, rows: Iterable[Any], **options: Any) -> None:
        values = list(rows)
        record(query, len(values))
        executemany(cursor, query, values, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", record_one)
        patch.setattr(psycopg.Cursor, "executemany", record_many)
        yield sent
