"""`python -m service.db upgrade`: bring schema and rights to this release.  `... key`: project, member and key.

`python -m service.db admin NAME`: an admin of the server, and a link by which they set a password.

`python -m service.db keys` and `... revoke KEY`: the keys of all projects, for whoever lost the last one of a project.

`python -m service.db verify RUN`: whether what a resumed run computed again equals what it replaced.
"""

import argparse
import re
import sys
from collections.abc import Sequence

from alembic import command
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from service.db import rights
from service.db.access import audit_log, invitations, keys, projects
from service.db.metrics import superseded
from service.db.metrics.superseded import Mismatch
from service.db.session import Engine, alembic_config, make_engine, transaction
from service.errors import SaddleError
from service.levels import ROLE_LEVELS, SCOPE_LEVELS
from service.settings import settings


def main() -> int:
    """Run one command; 0 when done."""
    parser = argparse.ArgumentParser(
        prog="python -m service.db",
        description="The database of Saddle, as its owner; SADDLE_DATABASE_URL says which.",
        epilog="Experiments and uploads are deleted through the API: `saddle delete NAME --yes`.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("upgrade", help="migrate to the newest schema, and grant each role its rights")
    key = commands.add_parser("key", help="print a new API key; it is shown this once")
    key.add_argument("--project", default="default")
    key.add_argument("--member", default="admin")
    key.add_argument(
        "--role", choices=sorted(ROLE_LEVELS), help="of a new member (default: admin for the first, else member)"
    )
    key.add_argument("--scope", choices=sorted(SCOPE_LEVELS), default="admin", help="what the key may do at most")
    key.add_argument("--days", type=days, help="until it expires (default: never)")
    key.add_argument("--server-admin", action="store_true", help="make its account an admin of the server")
    admin = commands.add_parser("admin", help="make somebody an admin of the server; print a link to set a password")
    admin.add_argument("name", help="of the account; a new one is made where there is none")
    admin.add_argument("--url", default="http://127.0.0.1:8000", help="the page's address (default: %(default)s)")
    commands.add_parser("keys", help="list the keys that open, of all projects; `saddle keys` lists those of one")
    revoke = commands.add_parser("revoke", help="end a key; the next request with it is refused")
    revoke.add_argument("key", help="its id, or the whole key")
    verify = commands.add_parser(
        "verify", help="compare superseded points with their replacements; 1 where they differ"
    )
    verify.add_argument("run")
    arguments = parser.parse_args()
    url = settings().database_url
    engine = make_engine(url, pool_size=1)
    try:
        if arguments.command == "upgrade":
            command.upgrade(alembic_config(url), "head")
            with transaction(engine) as connection:
                rights.grant(connection, settings())
            erase_audit(engine, settings().audit_days)
        elif arguments.command == "verify":
            with transaction(engine) as connection:
                compared = superseded.compare(connection, arguments.run)
                return told(*compared, superseded.why_bits_may_differ(connection, arguments.run))
        else:
            with transaction(engine) as connection:
                return KEYS[arguments.command](connection, arguments)
    except (SaddleError, OperationalError) as error:
        print(f"saddle: {str(error).splitlines()[0]}", file=sys.stderr)
        return 1
    return 0


def erase_audit(engine: Engine, days: int | None) -> None:
    """Delete what the audit no longer keeps, if it keeps anything for less than ever."""
    if days is not None:
        with transaction(engine) as connection:
            erased = audit_log.erase_old(connection, days)
        print(f"{erased} rows of the audit were older than {days} days and are erased")


def new_key(connection: Connection, arguments: argparse.Namespace) -> int:
    """Print a new key."""
    lifetime_s = None if arguments.days is None else arguments.days * 86400.0
    new = projects.new_key(
        connection,
        arguments.project,
        arguments.member,
        lifetime_s,
        role=arguments.role,
        scope=arguments.scope,
        server_admin=arguments.server_admin,
    )
    print(new)
    return 0


def new_admin(connection: Connection, arguments: argparse.Namespace) -> int:
    """Make an admin of the server and print a link to set a password, which works once and for a day."""
    account_id = projects.make_server_admin(connection, arguments.name)
    token = invitations.issue(connection, "the operator", 86400.0, account_id=account_id)
    print(f"{arguments.url.rstrip('/')}/#/invitation/{token}")
    return 0


def list_keys(connection: Connection, _: argparse.Namespace) -> int:
    """Print a line for each key."""
    for project, each in keys.list_all(connection):
        expires = f"expires {each.expires_at:%Y-%m-%d}" if each.expires_at else "never expires"
        used = f"used {each.last_used_at:%Y-%m-%d}" if each.last_used_at else "never used"
        made = f"{each.scope}  made {each.created_at:%Y-%m-%d}  {used}"
        print(f"{each.id}  {project}/{each.member}  {each.name or '-'}  {made}  {expires}")
    return 0


def revoke(connection: Connection, arguments: argparse.Namespace) -> int:
    """End a key."""
    key_id = arguments.key.strip().partition(".")[0]
    if projects.revoke_key(connection, key_id):
        print(f"{key_id} is revoked")
        return 0
    print(f"saddle: there is no key {key_id} that still opens; `keys` lists them", file=sys.stderr)
    return 1


KEYS = {"key": new_key, "admin": new_admin, "keys": list_keys, "revoke": revoke}


def days(text: str) -> float:
    """A number of days above 0."""
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,6})?", text) or float(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days: give one above 0 and below 10000, like 30")
    return float(text)


def told(compared: int, differing: Sequence[Mismatch], why: str) -> int:
    """Say what was found; 1 where something differs."""
    print(f"{compared} superseded points have a replacement, {len(differing)} differ from it")
    for each in differing[:10]:
        print(f"{each.series} at step {each.step}: {each.was!r} in attempt {each.attempt}, now {each.now!r}")
    if differing and why:
        print(why)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
