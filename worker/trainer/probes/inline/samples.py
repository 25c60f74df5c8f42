"""Text that a language model writes, token by token, each drawn from what the model predicts."""

from torch import Tensor

from service.spec.datasets.text import LanguageBase
from service.spec.probes import inline as spec
from worker.trainer.data.text_codec import continuation
from worker.trainer.metrics import Metrics
from worker.trainer.probes.inline.base import InlineProbe
from worker.trainer.probes.inline.side_effect_free import side_effect_free_forward
from worker.trainer.probes.measurement import ProbedTraining
from worker.trainer.text_answers import shown, write_tokens

SAMPLES = 50  # of a run without every_steps, at most about so many


class Samples(InlineProbe):
    """A reading at evaluations: the prompt, and how the model goes on."""

    def __init__(self, component: spec.Samples) -> None:
        super().__init__(component)
        self.sampling = component

    def next_step(self, step: int) -> int:
        """Return no step: only evaluations ask it."""
        return self.total + 1

    def begin(self, training: ProbedTraining) -> None:
        """Find the prompt."""
        self._codec, self._prompt = training.codec, list[int]()
        if self._codec is None:
            if training.step == 0:
                self.report(0, {"not_applicable": "the tokens of this dataset cannot be written as text"})
        elif self.sampling.prompt is not None:
            self._prompt = self._codec.encode(self.sampling.prompt)
        else:
            rows = training.batches.x if training.validation is None else training.validation.x
            first: Tensor = rows[:1][0]
            self._prompt = first[: max(1, len(first) // 2)].tolist()

    def after_evaluation(self, training: ProbedTraining, step: int) -> Metrics:
        """Write a text if it is time for one."""
        if self._codec is not None and self._is_due(training, step):
            written = self.write(training, step)
            found = self._codec.decode(self._prompt), continuation(self._codec, self._prompt, written)
            texts = map(shown, found)
            asked = self.sampling.model_dump(include={"length", "temperature", "top_k"})
            self.report(step, dict(zip(("prompt", "continuation"), texts, strict=True)) | asked)
        return {}

    def _is_due(self, training: ProbedTraining, step: int) -> bool:
        """Whether this evaluation is the last, or the first one in its interval; it depends on the step alone."""
        between = training.spec.evaluation_every
        every = self.sampling.every_steps or between * -(-self.total // (between * SAMPLES))
        return step == self.total or step % every < between

    def write(self, training: ProbedTraining, step: int) -> list[int]:
        """Return the tokens that follow the prompt; draws come from a generator of the seed and the step."""
        assert isinstance(training.spec.dataset, LanguageBase)
        context, draws = training.spec.dataset.context, f"samples:{training.seed}:{step}"
        with side_effect_free_forward(training.model, batch_statistics=False), training.pipeline.precision.forward():
            return write_tokens(training.model, self._prompt, context, self.sampling, draws, training.device)
