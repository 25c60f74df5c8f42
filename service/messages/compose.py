"""What a message says: a sentence for each event, as plain text, for Slack, and as JSON."""

from collections.abc import Sequence
from typing import Any

from service.db.messages.outbox import Outgoing
from service.nonfinite import dumps

SHOWN = 20  # events of a message for people; a webhook has all
GIB = 2**30
Event = dict[str, Any]


def sentence(event: Event) -> str:
    """Return one event in words."""
    match event["kind"]:
        case "run_succeeded":
            return f"{_run(event)} has succeeded."
        case "run_failed" | "run_diverged":
            failure = event["failure"]
            verb = "diverged" if event["kind"] == "run_diverged" else f"failed ({failure['code']})"
            return f"{_run(event)} has {verb}: {failure['detail'] or 'no detail is known.'}"
        case "finding_fault":
            return f"{_run(event)} has a fault: {event['finding']['text']}"
        case "queue_stuck":
            runs = "1 run waits" if event["runs"] == 1 else f"{event['runs']} runs wait"
            return f"{runs}, the longest for {_duration(event['waits_s'])}: {event['why']}."
        case "quota_near":
            whose = f"{event['of']} has" if event["of"] else "The project has"
            quota = event["quota"]
            used, limit = (_amount(event[each], quota["unit"]) for each in ("used", "limit"))
            return f"{whose} used {used} of {limit} for {quota['what']}."
        case "mention":
            return f"{event['by']} mentions you: {event['text']}"
        case "channel_disabled":
            return f"The channel {event['channel']['name']} was disabled: {event['why']}."
        case "test":
            return "This is a test. The channel works."
    return str(event["kind"])


def _run(event: Event) -> str:
    return f"Run {event['run']['id'][-8:]} (seed {event['run']['seed']})"


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 5400 else f"{max(seconds / 60, 1):.0f} minutes"


def _amount(value: float, unit: str) -> str:
    return f"{value / GIB:,.4g} GiB" if unit == "bytes" else f"{value:,.4g} {unit}"


WORDS = {
    "run_succeeded": ("run succeeded", "runs succeeded"),
    "run_failed": ("run failed", "runs failed"),
    "run_diverged": ("run diverged", "runs diverged"),
    "finding_fault": ("fault found", "faults found"),
    "queue_stuck": ("queue stuck", "queues stuck"),
    "quota_near": ("quota nearly used up", "quotas nearly used up"),
    "mention": ("mention of you", "mentions of you"),
    "channel_disabled": ("channel disabled", "channels disabled"),
    "test": ("test", "tests"),
}


def headline(project: str, events: Sequence[Event]) -> str:
    """Return the subject: how many of what, in which experiment."""
    counts: dict[str, int] = {}
    for event in events:
        counts[event["kind"]] = counts.get(event["kind"], 0) + 1
    said = ", ".join(WORDS[kind][0] if n == 1 else f"{n} {WORDS[kind][1]}" for kind, n in counts.items())
    experiment = next((event["experiment"]["name"] for event in events if "experiment" in event), None)
    return f"[{project}] {experiment}: {said}" if experiment else f"[{project}] {said}"


def link(public_url: str, events: Sequence[Event]) -> str | None:
    """Return the page's address of what the events are about."""
    if not public_url:
        return None
    base, first = public_url.rstrip("/"), events[0]
    if len(events) == 1 and "run" in first:
        return f"{base}/#/run/{first['run']['id']}"
    return f"{base}/#/experiment/{first['experiment']['id']}" if "experiment" in first else f"{base}/"


def plain_text(message: Outgoing, public_url: str) -> str:
    """Return the body of an e-mail."""
    where = link(public_url, message.events)
    more = len(message.events) - SHOWN
    lines = [sentence(each) for each in message.events[:SHOWN]]
    lines += [f"... and {more} more."] if more > 0 else []
    lines += ["", where] if where else []
    return "\n".join([*lines, "", "Who gets this is set under Notifications on the page."])


ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def slack_body(message: Outgoing, public_url: str) -> bytes:
    """Return the JSON of an incoming webhook; names cannot mention people or hide links."""
    where = link(public_url, message.events)
    more = len(message.events) - SHOWN
    lines = [headline(message.project, message.events), *(f"• {sentence(each)}" for each in message.events[:SHOWN])]
    lines += [f"... and {more} more."] if more > 0 else []
    text = "\n".join(lines).translate(ESCAPES) + (f"\n<{where}>" if where else "")
    return dumps({"text": text}).encode()


def webhook_body(message: Outgoing, public_url: str) -> bytes:
    """Return the JSON of a webhook: the same bytes in each attempt."""
    data = {
        "project": message.project,
        "title": headline(message.project, message.events),
        "url": link(public_url, message.events),
        "events": [{**each, "text": sentence(each)} for each in message.events],
    }
    return dumps({"type": "saddle.events", "timestamp": message.created_at.isoformat(), "data": data}).encode()
