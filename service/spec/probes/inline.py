"""Probes that read what a training step has computed anyway, at almost no cost."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Count
from service.spec.layout import Parameter
from service.spec.probes.base import ProbeBase
from service.spec.text_answers import Sampling
from service.spec.validation_errors import closest

MAX_WEIGHTS = 64  # numbers with a series of their own


class Start(ProbeBase):
    """Sanity checks before the first step: the initial loss against the best constant prediction, and data problems.

    Adds a reading `start` at step 0 over up to 2048 training rows; adds no series.
    """

    target = "worker.trainer.probes.inline.sanity_checks:SanityChecks"
    formula = "L(theta_0), min_c L(c), ln C, std(x_i), var(y)"
    paper = "Karpathy 2019, A recipe for training neural networks"
    cost = 0.4
    costs = "one forward pass, once"
    kind: Literal["start"] = "start"


class GradientNorms(ProbeBase):
    """Gradient norm before clipping, in total and per layer: grad_norm, grad_norm/<layer>."""

    target = "worker.trainer.probes.inline.gradient_norms:GradientNorms"
    formula = "|g|_2, |g_l|_2"
    paper = "Pascanu et al. 2013, arXiv:1211.5063"
    costs = "none: one norm of each tensor"
    kind: Literal["gradients"] = "gradients"


class Updates(ProbeBase):
    """Size of the updates relative to the weights: update_ratio, update_ratio/<layer>, underflow_share.

    underflow_share is the share of entries with a gradient whose update is lost to rounding.
    """

    target = "worker.trainer.probes.inline.update_ratios:UpdateRatios"
    formula = "|dp|_2 / |p|_2; #{g != 0, p + dp = p} / #{g != 0}"
    paper = "rule of thumb: about 1e-3"
    costs = "none: one copy of the weights"
    kind: Literal["updates"] = "updates"


class Cosines(ProbeBase):
    """Cosine between successive gradients (cosine/gradient), and between momentum and gradient (cosine/momentum)."""

    target = "worker.trainer.probes.inline.gradient_cosines:GradientCosines"
    formula = "cos(g_t, g_{t-1}), cos(m_t, g_t)"
    paper = "Schneider et al. 2021, arXiv:2102.06604, is a cousin"
    costs = "none: one copy of the gradient"
    kind: Literal["cosines"] = "cosines"


class Activations(ProbeBase):
    """Activation statistics on the step's batch: activation/mean, activation/std, dead_share, saturated_share.

    dead_share: ReLU units that are 0 on the whole batch. saturated_share: sigmoid or tanh outputs within 0.01 of a
    limit; for a softmax, rows whose largest probability is above 0.99.
    """

    target = "worker.trainer.probes.inline.activations:Activations"
    formula = "mean(a), std(a), #{units: max_b |a| = 0} / units, #{1 - |a| < 0.01} / #a"
    paper = "Glorot & Bengio 2010; Lu et al. 2019, arXiv:1903.06733"
    cost = 0.1
    costs = "none beside the step's own forward pass: a few sums of each output"
    kind: Literal["activations"] = "activations"


class Rates(ProbeBase):
    """Effective learning rate of each parameter, as quantiles: rate/q00, q01, q25, q50, q75, q99, q100; rate/unused.

    For adaptive optimizers. rate/unused is the share of parameters without a gradient so far.
    """

    target = "worker.trainer.probes.inline.effective_rates:EffectiveRates"
    formula = "lr / (sqrt(v_hat) + eps), v_hat = v / (1 - beta2^t)"
    paper = "Kingma & Ba 2015, arXiv:1412.6980, algorithm 1"
    costs = "none: reads the optimizer's state"
    kind: Literal["rates"] = "rates"


class Weights(ProbeBase):
    """Weights as series: weight/<parameter>/<index> of few numbers, and projection/<i> of all on fixed directions.

    An index counts row by row. The directions are random unit vectors, the same in every run of equally many weights.
    """

    target = "worker.trainer.probes.inline.weights:Weights"
    formula = "theta_i, d_k theta"
    paper = "Lorch 2016, Visualizing deep network training trajectories with PCA, is a cousin"
    costs = "none: a copy of the chosen weights, and a product a projection"
    kind: Literal["weights"] = "weights"
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description=f"pattern of the parameters' names, of at most {MAX_WEIGHTS} numbers in all; null: none"
    )
    projections: Annotated[int, Field(ge=0, le=16)] = Field(2, description="number of directions to project on")

    def problems(self) -> Iterator[Problem]:
        """Yield a problem if there is nothing to record."""
        if self.name is None and not self.projections:
            yield Problem("/name", "missing", "give a pattern of names, or a number of projections.")

    def layout_problems(self, layout: Sequence[Parameter]) -> Iterator[Problem]:
        """Yield a problem if the pattern matches no parameter, or more numbers than can be series."""
        if self.name is None:
            return
        chosen = [parameter for parameter in layout if fnmatchcase(parameter.name, self.name)]
        count = sum(parameter.count for parameter in chosen)
        if not chosen:
            names = [parameter.name for parameter in layout]
            detail = f"no parameter of the model is called like that; the first is {names[0]}."
            yield Problem("/name", "matches_nothing", detail, None, closest(self.name, names))
        elif count > MAX_WEIGHTS:
            detail = f"matches {count} numbers, and at most {MAX_WEIGHTS} become series: narrow it, or use projections."
            yield Problem("/name", "too_large", detail, MAX_WEIGHTS)


class NormModes(ProbeBase):
    """Batch normalisation gap: bn_gap, the loss with batch statistics over the loss with running statistics.

    Measured at evaluations on the step's own rows, with dropout off, for models with batch normalisation.
    """

    target = "worker.trainer.probes.inline.batch_norm_gap:BatchNormGap"
    formula = "L(batch statistics) / L(running statistics)"
    paper = "Ioffe & Szegedy 2015, arXiv:1502.03167"
    cost = 0.8
    costs = "two forward passes of a batch"
    kind: Literal["norm_modes"] = "norm_modes"


class Samples(ProbeBase, Sampling):
    """Text that the model of a language writes, at evaluations: readings with the prompt and how it goes on."""

    target = "worker.trainer.probes.inline.samples:Samples"
    formula = "x_t ~ softmax(z_t / temperature), over the top_k largest logits z_t"
    paper = "Fan et al. 2018, arXiv:1805.04833 (top-k)"
    cost = 1.0
    costs = "a forward pass of one row for each token"
    kind: Literal["samples"] = "samples"
    prompt: Annotated[str, Field(min_length=1, max_length=2000)] | None = Field(
        None,
        description="text to go on from (of token files their numbers); null: the beginning of the validation part, "
        "half of a row",
    )
    every_steps: Count | None = Field(
        None,
        description="write at the first evaluation after every so many updates; null: at about 50 of all evaluations",
    )
