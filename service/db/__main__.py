"""`python -m service.db upgrade`: bring schema and rights to this release.  `... key`: project, member and key."""

import argparse
import sys

from alembic import command
from sqlalchemy.exc import OperationalError

from service.db import projects, rights
from service.db.session import alembic_config, make_engine, transaction
from service.errors import SaddleError
from service.settings import settings


def main() -> int:
    """Run one command; 0 when done."""
    parser = argparse.ArgumentParser(prog="python -m service.db", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("upgrade", help="migrate the database to the newest schema")
    key = commands.add_parser("key", help="print a new API key; it is shown this once")
    key.add_argument("--project", default="default")
    key.add_argument("--member", default="admin")
    arguments = parser.parse_args()
    url = settings().database_url
    engine = make_engine(url, pool_size=1)
    try:
        if arguments.command == "upgrade":
            command.upgrade(alembic_config(url), "head")
            with transaction(engine) as connection:
                rights.grant(connection, settings())
        else:
            with transaction(engine) as connection:
                print(projects.new_key(connection, arguments.project, arguments.member))
    except (SaddleError, OperationalError) as error:
        print(f"saddle: {str(error).splitlines()[0]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
