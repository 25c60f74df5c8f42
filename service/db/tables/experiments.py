"""Experiments, what they train on, and what is asked about them."""

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
from sqlalchemy.dialects.postgresql import JSON, JSONB

from service.db.tables.columns import metadata, now, word

experiment = Table(
    "experiment",
    metadata,
    word("id", primary_key=True),
    word("project_id", ForeignKey("project.id"), nullable=True),  # null in the bin, and once erased: nobody sees it
    word("owner_id", ForeignKey("member.id")),
    Column("name", Text, nullable=False),
    Column("spec", JSONB, nullable=False),
    word("spec_hash"),
    word("idempotency_key", nullable=True),
    word("request_hash", nullable=True),
    Column("tags", JSONB, nullable=False, server_default="[]"),  # name, tags and notes may change; spec never does
    Column("notes", Text, nullable=False, server_default=""),
    Column("archived_at", DateTime(timezone=True)),
    word("bin_project_id", ForeignKey("project.id"), nullable=True),  # whose bin it is in
    Column("deleted_at", DateTime(timezone=True)),  # put into the bin
    word("deleted_by", ForeignKey("member.id"), nullable=True),
    Column("erased_at", DateTime(timezone=True)),
    word("study_id", ForeignKey("study.id"), nullable=True),  # whose trial it is
    Column("trial", Integer),  # its number in the study
    Column("settled", Boolean, nullable=False, server_default="false"),  # its figures are written down
    now("created_at"),
    CheckConstraint("num_nonnulls(project_id, bin_project_id, erased_at) = 1", name="in_project_bin_or_erased"),
    CheckConstraint("(study_id IS NULL) = (trial IS NULL)", name="trial_of_study"),
    CheckConstraint("num_nulls(bin_project_id, deleted_at, deleted_by) IN (0, 3)", name="bin_told"),
    Index("experiment_project_id_name_idx", "project_id", "name"),
    Index("experiment_project_id_id_idx", "project_id", "id", postgresql_include=["archived_at", "settled"]),
    Index("experiment_bin_project_id_idx", "bin_project_id", postgresql_where=text("bin_project_id IS NOT NULL")),
    Index("experiment_erased_at_idx", "erased_at", postgresql_where=text("erased_at IS NOT NULL")),
    Index("experiment_study_id_trial_idx", "study_id", "trial", postgresql_where=text("study_id IS NOT NULL")),
    Index("experiment_unsettled_idx", "id", postgresql_where=text("NOT settled")),
    Index(
        "experiment_project_id_idempotency_key_key",
        "project_id",
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
)

dataset = Table(
    "dataset",
    metadata,
    word("id", primary_key=True),
    word("project_id", ForeignKey("project.id")),
    word("owner_id", ForeignKey("member.id")),
    Column("name", Text, nullable=False),
    word("sha256"),
    word("format"),
    Column("size_bytes", BigInteger, nullable=False),
    Column("report", JSONB, nullable=False),
    Column("deleted_at", DateTime(timezone=True)),  # put into the bin
    word("deleted_by", ForeignKey("member.id"), nullable=True),
    now("created_at"),
    CheckConstraint("(deleted_at IS NULL) = (deleted_by IS NULL)", name="bin_told"),
    Index("dataset_project_id_id_idx", "project_id", "id"),
)

verification = Table(
    "verification",
    metadata,
    word("id", primary_key=True),
    word("project_id", ForeignKey("project.id")),
    word("owner_id", ForeignKey("member.id")),
    word("run_id", ForeignKey("run.id")),
    word("finding"),
    Column("found", JSONB, nullable=False),  # the finding as it was
    Column("seeds", JSONB, nullable=False),
    Column("from_step", BigInteger, nullable=False),
    word("control_id", ForeignKey("experiment.id")),
    word("job_id", ForeignKey("run.id"), nullable=True),  # the probe job whose changed state the remedy starts from
    word("patched_id", ForeignKey("experiment.id"), nullable=True),  # null: waits for the job
    Column("failure", Text),  # why the remedy could not be tried
    word("idempotency_key", nullable=True),
    now("created_at"),
    Index("verification_run_id_idx", "run_id"),
    Index("verification_job_id_idx", "job_id", postgresql_where=text("patched_id IS NULL AND failure IS NULL")),
)

judgement = Table(
    "judgement",
    metadata,
    word("subject", primary_key=True),  # the id of a verification, or of a replay run
    Column("basis", JSONB, nullable=False),  # the runs and rule versions it was drawn from; it is void for another
    Column("result", JSON, nullable=False),  # as text, because jsonb would lose the sign of -0.0
    now("created_at"),
)

comparison = Table(
    "comparison",
    metadata,
    word("id", primary_key=True),
    word("project_id", ForeignKey("project.id")),
    word("owner_id", ForeignKey("member.id")),
    Column("question", JSONB, nullable=False),
    now("created_at"),
)

confirmation = Table(
    "confirmation",
    metadata,
    word("comparison_id", ForeignKey("comparison.id"), primary_key=True),
    word("experiment_id", ForeignKey("experiment.id"), primary_key=True),  # trains the contestant from fresh seeds
    word("trial_id", ForeignKey("experiment.id")),  # the contestant as it was chosen
    Column("label", Text, nullable=False),  # of its group
    Column("trials", Integer, nullable=False),  # it was chosen from
    now("created_at"),
    Index("confirmation_experiment_id_idx", "experiment_id", unique=True),
)

dataset_grant = Table(  # an upload that another project may train on too, because an experiment moved there
    "dataset_grant",
    metadata,
    word("dataset_id", ForeignKey("dataset.id"), primary_key=True),
    word("project_id", ForeignKey("project.id"), primary_key=True),
    now("created_at"),
    Index("dataset_grant_project_id_idx", "project_id"),
)

share = Table(  # an experiment that another project may read
    "share",
    metadata,
    word("experiment_id", ForeignKey("experiment.id"), primary_key=True),
    word("project_id", ForeignKey("project.id"), primary_key=True),
    word("shared_by", ForeignKey("member.id")),
    now("created_at"),
    Index("share_project_id_experiment_id_idx", "project_id", "experiment_id"),
)
