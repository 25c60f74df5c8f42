"""Bodies of requests about runs and experiments: priority, retry, fork, probe, predict, verify, replay, labels."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from service.errors import Problem
from service.spec.component import Count, Json, Part
from service.spec.experiment import NewName
from service.spec.prediction_rows import MAX_ROWS
from service.spec.probe_jobs import ProbeTask
from service.spec.text import normalise
from service.spec.text_answers import Continuation

MAX_WRITTEN = 4_000  # tokens of one request


class PriorityRequest(Part):
    """A new place in the queue."""

    priority: int = Field(ge=-100, le=100, description="a point is worth ten minutes of waiting")


class RetryRequest(Part):
    """How a run that failed or was cancelled is retried."""

    beginning: Literal["checkpoint", "start"] | None = Field(
        None, alias="from", description="by default its latest good checkpoint, where there is one"
    )


class ForkRequest(Part):
    """The step at which a run is forked, and the changes from there on."""

    step: Annotated[int, Field(ge=0, le=10**8)] | None = Field(
        None, description="of a kept checkpoint; null: the latest; 0: from the beginning"
    )
    changes: Json = Field(default_factory=dict, description="of the spec, merged over it as RFC 7396 says")
    name: NewName | None = Field(None, description="of the new experiment")


class ProbeRequest(ProbeTask):
    """Probes, and the state of the run that they look at."""

    step: Annotated[int, Field(ge=0, le=10**8)] | None = Field(
        None, description="of a kept checkpoint, or where the run began; null: the newest there is"
    )


class PredictRequest(Part):
    """Rows to predict, and the weights that predict them."""

    rows: Annotated[tuple[Any, ...], Field(min_length=1, max_length=MAX_ROWS)] = Field(
        description="as they are in the data, before any preparation: of a table dictionaries by column or lists in "
        "their order; of images files in base64; of a language texts or lists of tokens; else nested numbers"
    )
    weights: Literal["last", "best"] | Annotated[int, Field(ge=0, le=10**8)] = Field(
        "last", description="of the newest kept checkpoint, of the best one, or of that of a step"
    )
    likelihood: bool = Field(
        False, description="of texts: also the log-likelihood of each token after the first, in nats, and bits per byte"
    )
    continuation: Continuation | None = Field(
        None, description="of texts: also how each goes on; at most 4,000 tokens over all rows"
    )

    def text_problems(self, is_language: bool) -> Iterator[Problem]:
        """Yield what only texts are asked, and more tokens than a request may ask for."""
        for name in ("likelihood", "continuation"):
            if getattr(self, name) and not is_language:
                yield Problem(f"/{name}", "not_applicable", "the run's data are no text: leave this out.")
        if self.continuation and self.continuation.length * len(self.rows) > MAX_WRITTEN:
            detail = f"{len(self.rows)} rows of so many tokens are more than {MAX_WRITTEN}: fewer of either."
            yield Problem("/continuation/length", "too_large", detail, MAX_WRITTEN // len(self.rows))


class VerifyRequest(Part):
    """With how many seeds the remedy of a finding is verified."""

    seeds: Annotated[int, Field(ge=1, le=5)] = Field(
        1, description="so many with the remedy and as many without: the run's own seed and the next ones"
    )


class ReplayRequest(Part):
    """How much of a run is trained again."""

    steps: Count | None = Field(None, description="the first so many; null: all that the run trained")


class Labels(Part):
    """New labels; omitted ones stay. The posted spec is never changed."""

    name: NewName | None = None
    tags: Annotated[tuple[NewName, ...], Field(max_length=50)] | None = None
    notes: Annotated[str, Field(max_length=4096, pattern=r"^[^\x00]*$"), AfterValidator(normalise)] | None = None
