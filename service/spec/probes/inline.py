"""Probes that read what a training step has computed anyway, at almost no cost."""

from typing import Literal

from service.spec.probes.base import ProbeBase


class Start(ProbeBase):
    """The loss before the first step beside that of the best constant answer, and oddities of the data.

    A reading `start` at step 0, of up to 2048 training rows in a frozen order; it adds no series.
    """

    target = "worker.trainer.probes.inline.sanity_checks:SanityChecks"
    formula = "L(theta_0), min_c L(c), ln C, std(x_i), var(y)"
    paper = "Karpathy 2019, A recipe for training neural networks"
    cost = 0.4
    costs = "one forward pass, once"
    kind: Literal["start"] = "start"


class GradientNorms(ProbeBase):
    """Norm of the gradient before clipping, in all and of each layer: grad_norm, grad_norm/<layer>."""

    target = "worker.trainer.probes.inline.gradient_norms:GradientNorms"
    formula = "|g|_2, |g_l|_2"
    paper = "Pascanu et al. 2013, arXiv:1211.5063"
    costs = "none: one norm of each tensor"
    kind: Literal["gradients"] = "gradients"


class Updates(ProbeBase):
    """What an update changes of the weights: update_ratio, update_ratio/<layer>, underflow_share.

    underflow_share: of the entries that have a gradient, those whose update was lost in rounding.
    """

    target = "worker.trainer.probes.inline.update_ratios:UpdateRatios"
    formula = "|dp|_2 / |p|_2; #{g != 0, p + dp = p} / #{g != 0}"
    paper = "rule of thumb: about 1e-3"
    costs = "none: one copy of the weights"
    kind: Literal["updates"] = "updates"


class Cosines(ProbeBase):
    """Whether successive gradients agree: cosine/gradient; and the optimizer's momentum with them: cosine/momentum."""

    target = "worker.trainer.probes.inline.gradient_cosines:GradientCosines"
    formula = "cos(g_t, g_{t-1}), cos(m_t, g_t)"
    paper = "Schneider et al. 2021, arXiv:2102.06604, is a cousin"
    costs = "none: one copy of the gradient"
    kind: Literal["cosines"] = "cosines"


class Activations(ProbeBase):
    """Outputs of activations on the step's own batch: activation/mean, activation/std, dead_share, saturated_share.

    dead_share: units of a ReLU that are 0 on the whole batch. saturated_share: outputs of a sigmoid or tanh within a
    hundredth of a limit; of a softmax, rows whose largest probability is above 0.99.
    """

    target = "worker.trainer.probes.inline.activations:Activations"
    formula = "mean(a), std(a), #{units: max_b |a| = 0} / units, #{1 - |a| < 0.01} / #a"
    paper = "Glorot & Bengio 2010; Lu et al. 2019, arXiv:1903.06733"
    cost = 0.1
    costs = "none beside the step's own forward pass: a few sums of each output"
    kind: Literal["activations"] = "activations"


class Rates(ProbeBase):
    """The rate that each single parameter has: rate/q00, q01, q25, q50, q75, q99, q100, and rate/unused.

    Of optimizers that scale each parameter by itself. rate/unused: parameters that have not had a gradient yet.
    """

    target = "worker.trainer.probes.inline.effective_rates:EffectiveRates"
    formula = "lr / (sqrt(v_hat) + eps), v_hat = v / (1 - beta2^t)"
    paper = "Kingma & Ba 2015, arXiv:1412.6980, algorithm 1"
    costs = "none: reads the optimizer's state"
    kind: Literal["rates"] = "rates"


class NormModes(ProbeBase):
    """What batch normalisation's two modes differ by: bn_gap, the loss with the batch's statistics over the other.

    Of the step's own rows, with dropout off, at evaluations; only of a model that has batch normalisation.
    """

    target = "worker.trainer.probes.inline.batch_norm_gap:BatchNormGap"
    formula = "L(batch statistics) / L(running statistics)"
    paper = "Ioffe & Szegedy 2015, arXiv:1502.03167"
    cost = 0.8
    costs = "two forward passes of a batch"
    kind: Literal["norm_modes"] = "norm_modes"
