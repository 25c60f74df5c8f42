"""`python -m worker`: one worker for one device; everything it needs to know is in the environment."""

import sys

from worker.supervisor import signals


def main() -> int:
    """Serve until told to stop."""
    signals.end_at_once()
    import logging  # noqa: PLC0415  this and what follows takes seconds, in which a signal must already be heard

    from service.errors import SaddleError  # noqa: PLC0415
    from service.settings import settings  # noqa: PLC0415

    try:
        from worker.tasks import serve  # noqa: PLC0415
    except SaddleError as error:  # a broken plug-in
        sys.stderr.write(f"saddle: {error}\n")
        return 1
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    status = serve(settings())
    signals.ignore()
    return status


if __name__ == "__main__":
    sys.exit(main())
