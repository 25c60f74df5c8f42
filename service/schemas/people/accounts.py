"""Accounts, members, projects and invitations."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from service.levels import Role
from service.schemas.common import Utc, View
from service.schemas.people.sessions import MAX_PASSWORD
from service.spec.component import Part
from service.spec.experiment import NewName


def _check_email(text: str) -> str:
    """Return an address in its usual form: one @, something on both sides, no blanks."""
    local, _, domain = text.strip().rpartition("@")
    if not local or "." not in domain.strip(".") or any(c.isspace() or ord(c) < 33 for c in local + domain):
        raise ValueError("is no e-mail address: write name@example.org")
    return f"{local}@{domain.lower()}"


Email = Annotated[str, Field(min_length=3, max_length=254), AfterValidator(_check_email)]


def _check_account_name(text: str) -> str:
    """Return the name unchanged; one with an @ could be taken for somebody's address."""
    if "@" in text:
        raise ValueError("has an @: give the address as `email`")
    return text


AccountName = Annotated[NewName, Field(max_length=60), AfterValidator(_check_account_name)]
Password = Annotated[str, Field(min_length=1, max_length=MAX_PASSWORD)]
Token = Annotated[str, Field(min_length=1, max_length=100, description="what stands behind the last / of the link")]


class NewInvitation(Part):
    """An invitation into the project."""

    role: Role = Field("member", description="viewer (sees), member (adds, changes their own), admin (changes all)")
    email: Email | None = Field(None, description="whom it is for: a note, nothing is sent")
    lifetime_s: float = Field(7 * 86400, gt=0, le=90 * 86400, description="seconds until it expires")


class InvitationView(View):
    """An open invitation, without its secret."""

    id: str
    role: Role
    email: str | None
    made_by: str
    created_at: Utc
    expires_at: Utc


class MadeInvitation(InvitationView):
    """A new invitation."""

    token: str = Field(description="put it behind `#/invitation/` of the page's address; it is never shown again")


class InvitationToken(Part):
    """A link that somebody opened."""

    token: Token


class OpenedInvitation(View):
    """What a link leads to."""

    project: str | None = Field(description="null: it sets a password")
    role: Role | None
    account: str | None = Field(description="whose password it sets; null: it leads into a project")
    email: str | None
    made_by: str
    expires_at: Utc


class Acceptance(Part):
    """Accepting an invitation as somebody new, or setting a password by a link."""

    token: Token
    name: AccountName | None = Field(None, description="of the new account; a link that sets a password needs none")
    email: Email | None = None
    password: Password


class MemberView(View):
    """An account in the project."""

    id: str
    account_id: str
    name: str
    role: Role
    kind: Literal["person", "service"]
    created_at: Utc


class RoleRequest(Part):
    """Another role of a member."""

    role: Role


class NewServiceMember(Part):
    """A program with an account of its own: it has no password, only keys (POST /v1/keys with `member`)."""

    name: AccountName
    role: Role = "member"


class ProjectView(View):
    """A project that you are in."""

    id: str
    name: str
    role: Role
    created_at: Utc
    current: bool


class NewProject(Part):
    """A project to make; whoever makes it is its admin."""

    name: NewName


class CurrentProject(Part):
    """The project that a session acts in."""

    project_id: str = Field(max_length=40)


class AccountView(View):
    """Your account."""

    id: str
    name: str
    email: str | None
    server_admin: bool
    has_password: bool
    providers: list[str] = Field(description="issuers through which you sign in")
    makes_projects: bool
    created_at: Utc


class AccountChange(Part):
    """What to change of your account."""

    email: Email | None


class PasswordChange(Part):
    """Another password; the present one is left out by accounts that have none."""

    current: Password | None = None
    password: Password


class SignInWays(View):
    """How people sign in on this server."""

    provider: str | None = Field(description="the name of an OpenID provider; null: there is none")


class ServerAccountView(View):
    """An account, as server admins see it."""

    id: str
    name: str
    kind: Literal["person", "service"]
    email: str | None
    admin: bool
    created_at: Utc
    disabled_at: Utc | None


class PasswordLink(View):
    """A link to a new password."""

    token: str = Field(description="put it behind `#/invitation/` of the page's address; it is never shown again")
    expires_at: Utc


class ProviderReturn(Part):
    """What a provider gave to the browser."""

    code: str = Field(min_length=1, max_length=4000)
    state: str = Field(min_length=1, max_length=200)
    invitation: Token | None = Field(None, description="of a link that was opened before")
