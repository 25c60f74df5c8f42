"""`python -m service.db upgrade`: bring schema and rights to this release.  `... key`: project, member and key.

`python -m service.db verify RUN`: whether what a resumed run computed again equals what it replaced.
"""

import argparse
import sys
from collections.abc import Sequence

from alembic import command
from sqlalchemy.exc import OperationalError

from service.db import projects, rights, superseded
from service.db.session import alembic_config, make_engine, transaction
from service.db.superseded import Differing
from service.errors import SaddleError
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
        elif arguments.command == "verify":
            with transaction(engine) as connection:
                return told(*superseded.compare(connection, arguments.run))
        else:
            with transaction(engine) as connection:
                print(projects.new_key(connection, arguments.project, arguments.member))
    except (SaddleError, OperationalError) as error:
        print(f"saddle: {str(error).splitlines()[0]}", file=sys.stderr)
        return 1
    return 0


def told(compared: int, differing: Sequence[Differing]) -> int:
    """Say what was found; 1 where something differs."""
    print(f"{compared} superseded points have a replacement, {len(differing)} differ from it")
    for each in differing[:10]:
        print(f"{each.series} at step {each.step}: {each.was!r} in attempt {each.attempt}, now {each.now!r}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
