"""Comments on experiments and runs, and who is named in them."""

from sqlalchemy import Column, DateTime, ForeignKey, Index, Table, Text

from service.db.tables.columns import metadata, now, word

comment = Table(
    "comment",
    metadata,
    word("id", primary_key=True),
    word("project_id", ForeignKey("project.id")),
    word("experiment_id", ForeignKey("experiment.id")),
    word("run_id", ForeignKey("run.id"), nullable=True),  # null: on the experiment as a whole
    word("author_id", ForeignKey("member.id")),
    Column("text", Text, nullable=False),
    now("created_at"),
    Column("edited_at", DateTime(timezone=True)),
    Index("comment_experiment_id_id_idx", "experiment_id", "id"),
)

mention = Table(  # a member named in a comment with @
    "mention",
    metadata,
    word("comment_id", ForeignKey("comment.id", ondelete="CASCADE"), primary_key=True),
    word("member_id", ForeignKey("member.id"), primary_key=True),
    now("created_at"),
)
