"""`python -m worker`: one worker, with a slot for each of its devices, configured by environment variables."""

import sys

from worker.supervisor import signals


def main() -> int:
    """Serve until a signal."""
    signals.exit_on_signal()
    import logging  # noqa: PLC0415  importing takes seconds, during which a signal must already be handled

    from service import tracing  # noqa: PLC0415
    from service.errors import SaddleError  # noqa: PLC0415
    from service.os_account import hide_process  # noqa: PLC0415
    from service.settings import forget_secrets, settings  # noqa: PLC0415

    hide_process()  # from trainers, whose account may be the same

    try:
        from worker.tasks import serve  # noqa: PLC0415
    except SaddleError as error:  # a broken plug-in
        sys.stderr.write(f"saddle: {error}\n")
        return 1
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        given = settings()
        forget_secrets()
        tracing.start("saddle-worker")
        status = serve(given)
        tracing.stop()
    except SaddleError as error:  # a device that SADDLE_DEVICES names is missing
        sys.stderr.write(f"saddle: {error}\n")
        status = 1
    signals.ignore_signals()
    return status


if __name__ == "__main__":
    sys.exit(main())
