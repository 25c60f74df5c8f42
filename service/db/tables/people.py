"""Accounts, projects, their members, API keys, sessions and invitations, and the audit."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from service.db.tables.columns import metadata, now, word

account = Table(
    "account",
    metadata,
    word("id", primary_key=True),
    word("name"),
    word("kind", server_default="person"),
    Column("email", Text),
    Column("password_hash", Text),  # argon2id; null: signs in otherwise, or not at all
    Column("admin", Boolean, nullable=False, server_default="false"),  # of the whole server
    Column("disabled_at", DateTime(timezone=True)),
    now("created_at"),
    CheckConstraint("kind IN ('person', 'service')", name="kind_known"),
    Index("account_name_key", text("lower(name)"), unique=True),  # of ASCII letters: Root is root
    Index("account_email_key", text("lower(email)"), unique=True),
)

project = Table(
    "project",
    metadata,
    word("id", primary_key=True),
    word("name", unique=True),
    Column("members_manage", Boolean, nullable=False, server_default="false"),  # members may change others' work
    now("created_at"),
)

member = Table(
    "member",
    metadata,
    word("id", primary_key=True),
    word("project_id", ForeignKey("project.id")),
    word("account_id", ForeignKey("account.id")),
    word("name"),  # the account's in this project
    word("role", server_default="member"),
    now("created_at"),
    Column("removed_at", DateTime(timezone=True)),  # a row stays, because experiments name it
    CheckConstraint("role IN ('viewer', 'member', 'admin')", name="role_known"),
    Index("member_project_id_name_key", "project_id", "name", unique=True),
    Index("member_account_id_project_id_key", "account_id", "project_id", unique=True),
)

api_key = Table(
    "api_key",
    metadata,
    word("id", primary_key=True),
    word("member_id", ForeignKey("member.id")),
    Column("name", Text, nullable=False, server_default=""),  # where it is used
    word("scope", server_default="admin"),
    Column("secret_sha256", LargeBinary, nullable=False),
    now("created_at"),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    Column("last_used_at", DateTime(timezone=True)),  # to the minute
    Column("runs_per_day", Integer),  # that it may queue; null: no limit, see service.db.access.key_limits
    Column("device_s_per_day", Double),  # that its runs may train; null: no limit
    CheckConstraint("scope IN ('read', 'submit', 'admin')", name="scope_known"),
)

session = Table(  # of a browser
    "session",
    metadata,
    word("id", primary_key=True),
    Column("secret_sha256", LargeBinary, nullable=False),
    word("account_id", ForeignKey("account.id")),
    word("member_id", ForeignKey("member.id"), nullable=True),  # in the current project; null: in none
    word("key_id", ForeignKey("api_key.id"), nullable=True),  # signed in with it, and limited to what it may do
    Column("device", Text, nullable=False),  # the browser's User-Agent
    Column("address", Text),
    now("created_at"),
    now("seen_at"),
    Column("ended_at", DateTime(timezone=True)),
    Index("session_account_id_idx", "account_id", "id"),
)

invitation = Table(  # a link that works once: into a project, or to a new password of an account
    "invitation",
    metadata,
    word("id", primary_key=True),
    Column("secret_sha256", LargeBinary, nullable=False),
    word("project_id", ForeignKey("project.id"), nullable=True),
    word("role", nullable=True),  # in the project
    word("account_id", ForeignKey("account.id"), nullable=True),  # whose password it sets
    Column("email", Text),  # whom it is meant for: a note
    Column("made_by", Text, nullable=False),  # the name at that time
    now("created_at"),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("used_at", DateTime(timezone=True)),
    word("used_by", ForeignKey("account.id"), nullable=True),
    Column("revoked_at", DateTime(timezone=True)),
    CheckConstraint(
        "(project_id IS NULL) = (role IS NULL) AND (project_id IS NULL) <> (account_id IS NULL)", name="one_purpose"
    ),
    CheckConstraint("role IN ('viewer', 'member', 'admin')", name="role_known"),
    Index("invitation_project_id_id_idx", "project_id", "id"),
)

identity = Table(  # of a person at an OpenID provider
    "identity",
    metadata,
    word("issuer", primary_key=True),
    word("subject", primary_key=True),
    word("account_id", ForeignKey("account.id")),
    now("created_at"),
    Index("identity_account_id_idx", "account_id"),
)

sign_in_failure = Table(
    "sign_in_failure",
    metadata,
    word("subject", primary_key=True),  # a hash of the name that was given, or an address
    Column("count", Integer, nullable=False),
    Column("last_at", DateTime(timezone=True), nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    now("at"),
    word("project_id", ForeignKey("project.id"), nullable=True),  # null: it concerns the server
    word("account_id", ForeignKey("account.id"), nullable=True),  # null: nobody known
    Column("actor", Text, nullable=False),  # the name at that time
    word("key_id", nullable=True),
    Column("address", Text),
    word("request_id", nullable=True),
    word("action"),
    word("target", nullable=True),  # an id
    Column("data", JSONB, nullable=False, server_default="{}"),
    Index("audit_project_id_id_idx", "project_id", "id"),
)
