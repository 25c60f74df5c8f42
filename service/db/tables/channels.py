"""Channels that messages go to, the outbox, and what its readers remember."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from service.db.tables.columns import metadata, now, word

channel = Table(
    "channel",
    metadata,
    word("id", primary_key=True),
    word("project_id", ForeignKey("project.id")),
    word("member_id", ForeignKey("member.id")),  # who made it, and whose it is unless it is shared
    Column("shared", Boolean, nullable=False, server_default="false"),  # the project's: its admins manage it
    word("kind"),
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("secret", Text),  # signs what a webhook gets
    Column("old_secret", Text),  # signs too until then, so that a receiver can change over
    Column("old_secret_until", DateTime(timezone=True)),
    Column("events", ARRAY(Text(collation="C")), nullable=False),  # kinds that it wants
    Column("own_only", Boolean, nullable=False, server_default="false"),  # of experiments of its member
    Column("bundle_s", Integer, nullable=False, server_default="300"),  # between two messages on one experiment
    Column("failures", Integer, nullable=False, server_default="0"),  # in a row
    Column("failing_since", DateTime(timezone=True)),
    Column("retry_at", DateTime(timezone=True)),
    Column("disabled_at", DateTime(timezone=True)),
    Column("disabled_why", Text),
    Column("removed_at", DateTime(timezone=True)),
    now("created_at"),
    CheckConstraint("kind IN ('webhook', 'slack', 'email')", name="kind_known"),
    Index("channel_project_id_idx", "project_id", postgresql_where=text("removed_at IS NULL")),
)

delivery = Table(  # the outbox: a message is here before it is sent, and is sent at least once
    "delivery",
    metadata,
    word("id", primary_key=True),
    word("channel_id", ForeignKey("channel.id")),
    word("bundle"),  # what the events have in common, as an experiment's id
    Column("events", JSONB, nullable=False),
    word("state", server_default="open"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    now("due_at"),  # of the next attempt; one that is under way counts as lost then
    now("created_at"),
    Column("ended_at", DateTime(timezone=True)),
    Column("status", Integer),  # of the last answer
    Column("detail", Text),
    CheckConstraint("state IN ('open', 'sent', 'failed')", name="state_known"),
    Index(  # events join a message until its first attempt
        "delivery_collecting_key",
        "channel_id",
        "bundle",
        unique=True,
        postgresql_where=text("state = 'open' AND attempts = 0"),
    ),
    Index("delivery_due_at_idx", "due_at", postgresql_where=text("state = 'open'")),
    Index("delivery_channel_id_bundle_idx", "channel_id", "bundle"),
    Index("delivery_channel_id_id_idx", "channel_id", "id"),
)

alarm = Table(  # a condition that holds, which is told once, when it begins
    "alarm",
    metadata,
    word("kind", primary_key=True),
    word("subject", primary_key=True),
    word("project_id", ForeignKey("project.id")),
    now("since"),
)

event_reader = Table(  # how far the events of a project with channels have been read
    "event_reader",
    metadata,
    word("project_id", ForeignKey("project.id"), primary_key=True),
    Column("xid", BigInteger, nullable=False),
    Column("event_id", BigInteger, nullable=False, server_default="0"),
)
