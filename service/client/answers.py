"""The answers that the client reads, each with the schema that the API answers with.

A schema is imported when the first answer of its kind arrives: all of them together take longer than the rest of the
client. `service.client.lenient` says how an older or newer server is read.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

if TYPE_CHECKING:
    from pydantic import BaseModel

    from service.schemas.catalog import KindDetail
    from service.schemas.checkpoints import CheckpointView
    from service.schemas.comparisons import ComparisonView
    from service.schemas.datasets import DatasetView
    from service.schemas.diagnosis import DiagnosisView
    from service.schemas.experiments import ExperimentItem, ExperimentView, PostedExperiment
    from service.schemas.people.accounts import MadeInvitation, MemberView
    from service.schemas.people.audit import AuditView
    from service.schemas.people.channels import ChannelView, DeliveryView, TriedView
    from service.schemas.people.comments import CommentView
    from service.schemas.people.keys import MadeKey
    from service.schemas.people.sharing import BinView, ProjectSettingsView, ShareView
    from service.schemas.predictions import PredictionView
    from service.schemas.probe_results import ReadingView
    from service.schemas.replays import ReplayView
    from service.schemas.run_split import SplitView
    from service.schemas.runs import LogLineView, RunView
    from service.schemas.storage import StorageView
    from service.schemas.studies.analysis import StudyAnalysis
    from service.schemas.studies.answers import StudyItem, StudyPreview, StudyView, TrialView
    from service.schemas.verifications import VerificationView
    from service.schemas.workers import WorkerView

S = TypeVar("S")


class Answer(Generic[S]):
    """A kind of answer, by its schema `module:class` below service.schemas."""

    def __init__(self, schema: str) -> None:
        self.schema = schema

    def __call__(self, document: Mapping[str, Any]) -> S:
        """Return the document as an object of the schema."""
        return cast("S", lenient_schema(self.schema).model_validate(document))


@cache
def lenient_schema(schema: str) -> "type[BaseModel]":
    """Return the lenient form of a schema."""
    from service.client.lenient import relax  # noqa: PLC0415  pydantic takes 0.1 s

    module, _, name = schema.partition(":")
    return relax(getattr(import_module(f"service.schemas.{module}"), name))


experiment: "Answer[ExperimentView]" = Answer("experiments:ExperimentView")
posted_experiment: "Answer[PostedExperiment]" = Answer("experiments:PostedExperiment")
experiment_item: "Answer[ExperimentItem]" = Answer("experiments:ExperimentItem")
run: "Answer[RunView]" = Answer("runs:RunView")
split: "Answer[SplitView]" = Answer("run_split:SplitView")
replay: "Answer[ReplayView]" = Answer("replays:ReplayView")
verification: "Answer[VerificationView]" = Answer("verifications:VerificationView")
prediction: "Answer[PredictionView]" = Answer("predictions:PredictionView")
log_line: "Answer[LogLineView]" = Answer("runs:LogLineView")
reading: "Answer[ReadingView]" = Answer("probe_results:ReadingView")
diagnosis: "Answer[DiagnosisView]" = Answer("diagnosis:DiagnosisView")
checkpoint: "Answer[CheckpointView]" = Answer("checkpoints:CheckpointView")
comparison: "Answer[ComparisonView]" = Answer("comparisons:ComparisonView")
kind: "Answer[KindDetail]" = Answer("catalog:KindDetail")  # in a list without its fields
dataset: "Answer[DatasetView]" = Answer("datasets:DatasetView")  # in a list without its report
invitation: "Answer[MadeInvitation]" = Answer("people.accounts:MadeInvitation")
member: "Answer[MemberView]" = Answer("people.accounts:MemberView")
key: "Answer[MadeKey]" = Answer("people.keys:MadeKey")  # whole only in the answer that made it
bin_item: "Answer[BinView]" = Answer("people.sharing:BinView")
share: "Answer[ShareView]" = Answer("people.sharing:ShareView")
project: "Answer[ProjectSettingsView]" = Answer("people.sharing:ProjectSettingsView")
comment: "Answer[CommentView]" = Answer("people.comments:CommentView")
study: "Answer[StudyView]" = Answer("studies.answers:StudyView")
study_analysis: "Answer[StudyAnalysis]" = Answer("studies.analysis:StudyAnalysis")
study_item: "Answer[StudyItem]" = Answer("studies.answers:StudyItem")
study_preview: "Answer[StudyPreview]" = Answer("studies.answers:StudyPreview")
trial: "Answer[TrialView]" = Answer("studies.answers:TrialView")
storage: "Answer[StorageView]" = Answer("storage:StorageView")
worker: "Answer[WorkerView]" = Answer("workers:WorkerView")
channel: "Answer[ChannelView]" = Answer("people.channels:ChannelView")
delivery: "Answer[DeliveryView]" = Answer("people.channels:DeliveryView")
tried: "Answer[TriedView]" = Answer("people.channels:TriedView")
audit: "Answer[AuditView]" = Answer("people.audit:AuditView")


def raw(answer: object) -> dict[str, Any]:
    """Return the JSON that an answer was read from."""
    found: dict[str, Any] = vars(answer)["raw"]
    return found
