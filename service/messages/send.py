"""Send one message through its channel, and empty the outbox."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from service.db.messages import outbox
from service.db.messages.outbox import Outgoing
from service.db.session import Engine, transaction
from service.messages.compose import slack_body, webhook_body
from service.messages.outcome import Outcome
from service.messages.signature import sign
from service.settings import Settings

AT_ONCE = 8  # messages, each to another channel
log = logging.getLogger(__name__)


def send(message: Outgoing, settings: Settings) -> Outcome:
    """Try once to deliver a message; whatever goes wrong is in the outcome."""
    if message.kind == "email":
        from service.messages.mail import send_mail  # noqa: PLC0415  the API's start does not wait for it

        return send_mail(message, settings)
    from service.messages.post import post  # noqa: PLC0415  likewise

    if message.kind == "slack":
        return post(message.address, slack_body(message, settings.public_url), {}, settings.webhook_networks)
    body, now = webhook_body(message, settings.public_url), int(time.time())
    headers = {
        "webhook-id": message.id,
        "webhook-timestamp": str(now),
        "webhook-signature": sign(message.secrets, message.id, now, body),
    }
    return post(message.address, body, headers, settings.webhook_networks)


def deliver_due(engine: Engine, settings: Settings, stopping: Callable[[], bool]) -> int:
    """Send what is due, some channels at once, until nothing is; return the number of attempts."""
    attempts = 0
    while not stopping():
        with transaction(engine) as connection:
            claimed = outbox.claim(connection, AT_ONCE)
        if not claimed:
            break
        attempts += len(claimed)
        _send_all(engine, settings, claimed)
    return attempts


def _send_all(engine: Engine, settings: Settings, claimed: Sequence[Outgoing]) -> None:
    """Send messages at once, and note each outcome as it comes: one connection to the database is enough."""
    with ThreadPoolExecutor(len(claimed), "message") as threads:
        attempts = {threads.submit(_attempt, message, settings): message for message in claimed}
        for attempt in as_completed(attempts):
            _note(engine, attempts[attempt], attempt.result())


def _attempt(message: Outgoing, settings: Settings) -> Outcome:
    try:
        return send(message, settings)
    except Exception:  # what one message holds must not hold back the others
        log.exception("message %s cannot be sent", message.id)
        return Outcome(False, detail="the server failed to send it: its log says why.")


def _note(engine: Engine, message: Outgoing, outcome: Outcome) -> None:
    """Store the outcome. A process that ends before it does leaves the message to be sent again."""
    with transaction(engine) as connection:
        if outcome.delivered:
            outbox.mark_sent(connection, message, outcome.status, outcome.detail)
        else:
            outbox.mark_failed(connection, message, outcome.status, outcome.detail or "", outcome.gone)
