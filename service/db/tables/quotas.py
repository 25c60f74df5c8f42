"""Quotas, and the use that is held against them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
)

from service.db.tables.columns import metadata, now, word

quota = Table(
    "quota",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    word("name"),  # see service.db.access.quotas
    word("subject"),
    word("project_id", ForeignKey("project.id"), nullable=True),  # null: of every project
    word("member_id", ForeignKey("member.id"), nullable=True),  # null: of every person of the project
    Column("value", BigInteger),  # null: no limit
    now("set_at"),
    CheckConstraint("subject IN ('project', 'person')", name="subject_known"),
    Index(
        "quota_name_subject_project_id_member_id_key",
        *("name", "subject", "project_id", "member_id"),
        unique=True,
        postgresql_nulls_not_distinct=True,
    ),
)

quota_use = Table(  # counted anew every minute, and whenever a quota changes
    "quota_use",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    word("project_id", ForeignKey("project.id")),
    word("member_id", ForeignKey("member.id"), nullable=True),  # null: of the whole project
    Column("device_s", Double, nullable=False),  # trained in this month
    Column("upload_bytes", BigInteger, nullable=False),
    Column("checkpoint_bytes", BigInteger, nullable=False),
    Column("running_limit", Integer),  # null: none
    Column("held", Boolean, nullable=False),  # none of its runs starts: the hours of the month are used up
    now("counted_at"),
    Index(
        "quota_use_project_id_member_id_key",
        *("project_id", "member_id"),
        unique=True,
        postgresql_nulls_not_distinct=True,
    ),
)
