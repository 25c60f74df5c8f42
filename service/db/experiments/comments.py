"""Comments on experiments and runs; a member named with @ is stored as mentioned, for whoever tells them."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from service.db import rights
from service.db.access import audit
from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.messages import news, outbox
from service.db.messages.notices import Notice
from service.db.runs import runs
from service.db.tables import comment, member, mention
from service.errors import Forbidden, Invalid, NotFound, Problem
from service.ids import new_id

TOLD = 500  # characters of a comment in a message


@dataclass(frozen=True)
class StoredComment:
    """A comment and who it names."""

    id: str
    experiment_id: str
    run_id: str | None
    author_id: str
    author: str
    text: str
    mentions: list[str]
    created_at: datetime
    edited_at: datetime | None


def _query(principal: Principal) -> Select[Any]:
    """Comments of the principal's project; other projects that may read an experiment do not see them."""
    named = select(func.coalesce(func.array_agg(member.c.name), text("'{}'")))
    named = named.join(mention, mention.c.member_id == member.c.id).where(mention.c.comment_id == comment.c.id)
    author = member.alias("author")
    query = select(comment, author.c.name.label("author"), named.scalar_subquery().label("mentions"))
    query = query.join(author, author.c.id == comment.c.author_id)
    return query.where(comment.c.project_id == principal.project_id)


def _stored(row: Any) -> StoredComment:
    known = {name: row[name] for name in StoredComment.__dataclass_fields__}
    return StoredComment(**(known | {"mentions": sorted(row["mentions"])}))


def page(
    connection: Connection,
    principal: Principal,
    experiment_id: str,
    run_id: str | None,
    limit: int,
    before: str | None = None,
) -> Sequence[StoredComment]:
    """Return the newest comments on an experiment and its runs, or on one of them, whose id sorts before `before`."""
    experiments.get(connection, principal, experiment_id)
    query = _query(principal).where(comment.c.experiment_id == experiment_id)
    if run_id is not None:
        query = query.where(comment.c.run_id == run_id)
    if before is not None:
        query = query.where(comment.c.id < before)
    rows = connection.execute(query.order_by(comment.c.id.desc()).limit(limit)).mappings()
    return [_stored(row) for row in rows]


def get(connection: Connection, principal: Principal, comment_id: str) -> StoredComment:
    """Return one comment; `NotFound` also for another project's, and for one on something in the bin."""
    row = connection.execute(_query(principal).where(comment.c.id == comment_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no comment {comment_id}.")
    experiments.get(connection, principal, row["experiment_id"])
    return _stored(row)


def add(
    connection: Connection, principal: Principal, experiment_id: str, run_id: str | None, words: str
) -> StoredComment:
    """Store a comment and whom it names."""
    experiments.get(connection, principal, experiment_id)
    if run_id is not None and runs.get(connection, principal, run_id).experiment_id != experiment_id:
        raise Invalid.of([Problem("/run_id", "other_experiment", "the run is of another experiment.")])
    comment_id = new_id("cmt")
    row = {"id": comment_id, "project_id": principal.project_id, "experiment_id": experiment_id, "run_id": run_id}
    connection.execute(insert(comment).values(**row, author_id=principal.member_id, text=words))
    _mention(connection, principal, comment_id, words)
    audit.record(connection, principal, "comment.create", comment_id, experiment=experiment_id, run=run_id)
    return get(connection, principal, comment_id)


def edit(connection: Connection, principal: Principal, comment_id: str, words: str) -> StoredComment:
    """Change one's own comment; `Forbidden` for another's, even for admins."""
    found = get(connection, principal, comment_id)
    if found.author_id != principal.member_id:
        raise Forbidden(f"{found.author} wrote this: only they may change it; admins may delete it.")
    changed = {"text": words, "edited_at": func.clock_timestamp()}
    connection.execute(update(comment).where(comment.c.id == comment_id).values(changed))
    _mention(connection, principal, comment_id, words)
    audit.record(connection, principal, "comment.edit", comment_id, experiment=found.experiment_id)
    return get(connection, principal, comment_id)


def remove(connection: Connection, principal: Principal, comment_id: str) -> None:
    """Delete a comment."""
    found = get(connection, principal, comment_id)
    with rights.acting_as(connection, "saddle_eraser"):
        connection.execute(delete(comment).where(comment.c.id == comment_id))
    told = {"author": found.author, "experiment": found.experiment_id}
    audit.record(connection, principal, "comment.delete", comment_id, **told)


def _mention(connection: Connection, principal: Principal, comment_id: str, words: str) -> None:
    """Store whom a comment names; who was named before an edit stays, because they were told."""
    if "@" not in words:
        return
    query = select(member.c.id, member.c.name).where(member.c.project_id == principal.project_id)
    members = connection.execute(query.where(member.c.removed_at.is_(None)))
    by_name = {row.name: row.id for row in members}
    rows = [{"comment_id": comment_id, "member_id": by_name[name]} for name in mentioned(words, by_name)]
    if rows:
        stored = upsert(mention).values(rows).on_conflict_do_nothing().returning(mention.c.member_id)
        _tell(connection, principal, comment_id, list(connection.execute(stored).scalars()))


def _tell(connection: Connection, principal: Principal, comment_id: str, member_ids: Sequence[str]) -> None:
    """Tell those who are named now, but not who names themselves."""
    found = get(connection, principal, comment_id)
    about = experiments.get(connection, principal, found.experiment_id)
    told = {
        "by": found.author,
        "text": found.text[:TOLD],
        "comment": {"id": comment_id},
        "experiment": {"id": about.id, "name": about.name},
        **({"run": {"id": found.run_id}} if found.run_id else {}),
    }
    others = [each for each in member_ids if each != principal.member_id]
    at = news.now(connection)
    outbox.add(
        connection,
        [Notice("mention", principal.project_id, about.id, at, told, only_to=each) for each in others],
    )


def mentioned(words: str, names: Collection[str]) -> list[str]:
    """Return the names that follow an @ which begins a word; of "ann" and "ann b" the longer one that fits."""
    if not names:
        return []
    longest_first = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    found = re.findall(rf"(?<![\w@])@({longest_first})(?!\w)", words)
    return list(dict.fromkeys(found))
