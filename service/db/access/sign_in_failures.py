"""Failed sign-ins, counted by the name that was given and by the sender's network, for all processes of the API.

A name slows the answer and never refuses, so nobody can lock somebody else out; an address is refused for a while.
Both are forgotten a quarter of an hour after the last failure.
"""

import hashlib
from dataclasses import dataclass

from sqlalchemy import Connection, delete, text, update

from service.db import rights
from service.db.tables import sign_in_failure

FREE_OF_NAME, MAX_DELAY_S = 3, 4.0  # failures without a delay; the longest delay, reached after seven
FREE_OF_ADDRESS, MAX_REFUSAL_S = 10, 60.0  # failures without a refusal; the longest, reached after sixteen
READ = text(
    """
    SELECT subject, count AS failures, extract(epoch FROM clock_timestamp() - last_at)::float AS age_s
    FROM sign_in_failure
    WHERE subject = ANY(:subjects) AND last_at > clock_timestamp() - interval '15 minutes'
    """
)
COUNT = text(
    """
    INSERT INTO sign_in_failure AS f (subject, count, last_at)
    SELECT unnest(cast(:subjects AS text[])), 1, clock_timestamp()
    ON CONFLICT (subject) DO UPDATE SET last_at = clock_timestamp(), count = CASE
        WHEN f.last_at > clock_timestamp() - interval '15 minutes' THEN least(f.count + 1, 1000) ELSE 1 END
    """
)
FORGET_OLD = text("DELETE FROM sign_in_failure WHERE last_at < clock_timestamp() - interval '1 day'")


@dataclass(frozen=True)
class Slowing:
    """How a sign-in is slowed: seconds until it is answered, and seconds for which it is refused."""

    delay_s: float = 0.0
    refused_s: float = 0.0


def begin(connection: Connection, name: str, address: str | None) -> Slowing:
    """Return how a sign-in with this name from this address is slowed, and count it as failed until it succeeds.

    Counting first keeps many that are sent at once from being tried at once. A refused one is not counted.
    """
    of_name, of_address = _subjects(name, address)
    found = {row.subject: row for row in connection.execute(READ, {"subjects": [of_name, of_address]})}
    delay_s = refused_s = 0.0
    if (row := found.get(of_name)) and row.failures >= FREE_OF_NAME:
        delay_s = min(0.25 * 2.0 ** (row.failures - FREE_OF_NAME), MAX_DELAY_S)
    if (row := found.get(of_address)) and row.failures >= FREE_OF_ADDRESS:
        refused_s = min(2.0 ** (row.failures - FREE_OF_ADDRESS), MAX_REFUSAL_S) - row.age_s
    if refused_s > 0:
        return Slowing(refused_s=refused_s)
    with rights.acting_as(connection, "saddle_doorkeeper"):
        connection.execute(COUNT, {"subjects": sorted((of_name, of_address))})  # sorted: no two wait in a circle
        connection.execute(FORGET_OLD)
    return Slowing(delay_s)


def succeed(connection: Connection, name: str, address: str | None) -> None:
    """Forget the failures of a name that has signed in, and that this one was counted for the address."""
    of_name, of_address = _subjects(name, address)
    counted = update(sign_in_failure).where(sign_in_failure.c.subject == of_address, sign_in_failure.c.count > 0)
    with rights.acting_as(connection, "saddle_doorkeeper"):
        connection.execute(counted.values(count=sign_in_failure.c.count - 1))
        connection.execute(delete(sign_in_failure).where(sign_in_failure.c.subject == of_name))


def _subjects(name: str, address: str | None) -> tuple[str, str]:
    """A name is hashed, because people type passwords into the wrong field."""
    return "name " + hashlib.sha256(name.lower().encode()).hexdigest(), f"address {address or 'unknown'}"
