"""`python -m worker`: one worker for one device; everything it needs to know is in the environment."""

import logging
import sys

from service.settings import settings
from worker.tasks import serve


def main() -> int:
    """Serve until told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return serve(settings())


if __name__ == "__main__":
    sys.exit(main())
