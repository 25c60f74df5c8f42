"""The tables. Times are timestamptz; `_s` columns are seconds; text is compared byte by byte (collation C)."""

from service.db.tables.channels import alarm, channel, delivery, event_reader
from service.db.tables.columns import metadata
from service.db.tables.comments import comment, mention
from service.db.tables.experiments import (
    comparison,
    confirmation,
    dataset,
    dataset_grant,
    experiment,
    judgement,
    share,
    verification,
)
from service.db.tables.metrics import experiment_figure, metric_chunk, metric_tile, series
from service.db.tables.people import (
    account,
    api_key,
    audit,
    identity,
    invitation,
    member,
    project,
    session,
    sign_in_failure,
)
from service.db.tables.quotas import quota, quota_use
from service.db.tables.runs import attempt, checkpoint, device_use, event, log_line, reading, run, worker
from service.db.tables.saved_views import saved_view
from service.db.tables.studies import study, study_trial

__all__ = [
    "account",
    "alarm",
    "api_key",
    "attempt",
    "audit",
    "channel",
    "checkpoint",
    "comment",
    "comparison",
    "confirmation",
    "dataset",
    "dataset_grant",
    "delivery",
    "device_use",
    "event",
    "event_reader",
    "experiment",
    "experiment_figure",
    "identity",
    "invitation",
    "judgement",
    "log_line",
    "member",
    "mention",
    "metadata",
    "metric_chunk",
    "metric_tile",
    "project",
    "quota",
    "quota_use",
    "reading",
    "run",
    "saved_view",
    "series",
    "session",
    "share",
    "sign_in_failure",
    "study",
    "study_trial",
    "verification",
    "worker",
]
