"""Projects, their members and API keys."""

from sqlalchemy import Column, DateTime, ForeignKey, Index, LargeBinary, Table, Text

from service.db.tables.columns import metadata, now, word

project = Table("project", metadata, word("id", primary_key=True), word("name", unique=True), now("created_at"))

member = Table(
    "member",
    metadata,
    word("id", primary_key=True),
    word("project_id", ForeignKey("project.id")),
    word("name"),
    word("role", server_default="admin"),
    now("created_at"),
    Index("member_project_id_name_key", "project_id", "name", unique=True),
)

api_key = Table(
    "api_key",
    metadata,
    word("id", primary_key=True),
    word("member_id", ForeignKey("member.id")),
    Column("name", Text, nullable=False, server_default=""),  # where it is used
    Column("secret_sha256", LargeBinary, nullable=False),
    now("created_at"),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
)
