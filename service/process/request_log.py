"""Lines of the log name the request that they belong to."""

import logging
from contextvars import ContextVar

current_request: ContextVar[str] = ContextVar("current_request", default="")


class RequestFormatter(logging.Formatter):
    """Ends each line with the id of the request in whose context it was written, in whichever thread."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line, request_id = super().formatMessage(record), current_request.get()
        return f"{line} [{request_id}]" if request_id else line
