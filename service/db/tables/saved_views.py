"""Views of the page that a project keeps: a name, an address, and a report's text."""

from sqlalchemy import CheckConstraint, Column, DateTime, ForeignKey, Index, Table, Text

from service.db.tables.columns import metadata, now, word

saved_view = Table(
    "saved_view",
    metadata,
    word("id", primary_key=True),
    word("project_id", ForeignKey("project.id")),
    word("owner_id", ForeignKey("member.id")),
    word("place"),
    Column("name", Text, nullable=False),
    Column("query", Text, nullable=False),  # of the page's address: what stands after its "?"
    Column("text", Text, nullable=False),  # Markdown; empty: none was written
    now("created_at"),
    Column("edited_at", DateTime(timezone=True)),
    CheckConstraint("place IN ('experiments', 'compare')", name="place_known"),
    Index("saved_view_project_id_place_name_key", "project_id", "place", "name", unique=True),
    Index("saved_view_project_id_id_idx", "project_id", "id"),
)
