"""Every threshold of the diagnosis: its meaning, and where the number comes from.

Sources: a paper; AutoTrainer (Zhang et al., ICSE 2021), whose numbers these are; a rule of thumb that practitioners
share; or "calibrated here": chosen to separate deliberately broken from healthy runs over several seeds.
"""

from dataclasses import dataclass

HERE = "calibrated here"
THUMB = "rule of thumb"
AUTOTRAINER = "AutoTrainer (Zhang et al., ICSE 2021)"


@dataclass(frozen=True)
class Threshold:
    """A number; `key` begins with the rule that uses it, or with `any`."""

    key: str
    value: float
    unit: str
    meaning: str
    source: str


def _t(key: str, value: float, unit: str, meaning: str, source: str = HERE) -> Threshold:
    return Threshold(key, value, unit, meaning, source)


TABLE = (
    _t("any.window_steps", 20, "steps", "shortest window that trends are taken over", THUMB),
    _t("any.window_share", 0.05, "share of the run", "window that trends are taken over", THUMB),
    _t(
        "any.learned_little",
        0.1,
        "share of the way",
        "from the trivial loss to the minimum: below, nothing was learned",
    ),
    _t(
        "any.learned_poorly",
        0.5,
        "share of the way",
        "from the trivial loss to the minimum: above, the run learns well",
    ),
    _t("any.flat", 0.02, "share a window", "relative change of the loss below which it is flat"),
    _t("R1.growth", 3, "times", "last finite losses over the median before: above, the loss grew before it broke"),
    _t("R2.classes", 0.3, "share of ln C", "difference of the first loss from that of uniform guessing", THUMB),
    _t("R2.least", 0.5, "nats", "a smaller difference is usual for torch's default initialisation", THUMB),
    _t("R2.values", 10, "times", "first loss over that of the best constant", THUMB),
    _t("R2.targets", 100, "variance", "of the targets, where they are not scaled", THUMB),
    _t("R2.start", 0.01, "of 1", "initial deviation x root of the inputs, of a layer: 1 keeps the size of its input"),
    _t("R2.bad", 3, "times", "first loss over the trivial loss: above, a bad start is a fault unless the run recovers"),
    _t("R3.near", 0.02, "share", "difference from the trivial loss within which nothing is learned"),
    _t("R3.stretch", 0.2, "share of the run", "how long the loss must stay there"),
    _t("R3.long", 0.4, "share of the run", "staying longer, or until the end, is a fault"),
    _t("R3.no_gradient", 1e-8, "norm", "a layer's gradient below this counts as none"),
    _t("R3.validation", 0.98, "share of the trivial loss", "best validation loss above this: nothing generalises"),
    _t("R3.memorised", 0.97, "share of the trivial loss", "training loss below this: the rows are memorised"),
    _t("R3.repeated", 3, "epochs", "fewer: rows cannot be known by heart", THUMB),
    _t("R3.thrown", 0.5, "update / weight", "an early update above this replaces the initialisation", THUMB),
    _t("R3.jumped", 1.3, "times", "highest early loss over the first one"),
    _t("R3.short", 1e-3, "update / weight", "median: below, updates are shorter than usual", THUMB),
    _t("R3.steady", 3, "standard errors", "fall of the loss from the second to the last quarter of the run", THUMB),
    _t("R3.positions", 30, "positions", "over which a recurrent network without gates forgets", "Bengio et al. 1994"),
    _t("R4.left", 0.1, "share of the first loss", "left on one batch after 500 steps", "standard practice"),
    _t("R4.gradient", 1e-4, "relative error", "between the gradient and its finite difference", THUMB),
    _t("R5.floor", 0.99, "share of the floor", "the loss never falls below what bounded outputs allow", "arithmetic"),
    _t("R6.rise", 3, "times", "smoothed loss over its minimum so far", "tuning playbook (Google 2023)"),
    _t("R6.scale", 0.25, "share of the first loss", "a smaller rise is noise near the end"),
    _t("R6.worse", 0.2, "share of the first loss", "the loss ends this much above where it began"),
    _t("R6.peak", 10, "times", "highest early loss over the first one, with nothing learned afterwards"),
    _t(
        "R6.outlier",
        10,
        "times",
        "largest over median gradient norm: a few batches are the cause",
        "tuning playbook (2023)",
    ),
    _t("R6.few", 0.1, "share of gradients", "that are far above the earlier median: more than a few batches"),
    _t("R6.clipped", 0.5, "share of updates", "already clipped: more clipping is no remedy", "tuning playbook (2023)"),
    _t("R6.erratic", 0.5, "share of the first loss", "spread of the late losses while nothing is learned"),
    _t("R6.tail", 0.3, "mean over standard deviation", "of the targets (normal: 0.8): below, a few are far from all"),
    _t("R7.cosine", -0.5, "cosine", "median of successive gradients: the steps bounce"),
    _t("R7.shrinking", 0.5, "times", "late over early gradient norm: above, it does not shrink"),
    _t("R8.low", 0.9, "of the limit", "sharpness over its limit", "Cohen et al. 2021, arXiv:2103.00065"),
    _t("R8.high", 1.2, "of the limit", "sharpness over its limit", "Cohen et al. 2021, arXiv:2103.00065"),
    _t("R9.ratio", 1e-5, "update / weight", "median update norm over weight norm", THUMB),
    _t("R9.slow", 3e-4, "update / weight", "median, where all updates together hardly move the weights either"),
    _t("R9.moved", 0.05, "of the weights", "the most that all updates together can have moved them"),
    _t("R9.cosine", 0.9, "cosine", "median of successive gradients: every step has the same direction"),
    _t("R9.sharpness", 0.01, "of the limit", "sharpness over its limit"),
    _t("R9.clipped", 0.1, "of the median gradient norm", "a lower clipping norm shortens every update"),
    _t("R9.good_ratio", 5e-3, "update / weight", "a healthy update early in a run"),
    _t("R10.gradient", 1e-3, "share of the first", "gradient norm below which a point may be critical"),
    _t("R10.escape", 1e-3, "share of the loss", "measured drop along the escape direction that counts"),
    _t("R11.ratio", 1e-3, "times", "first over last layer's gradient norm", AUTOTRAINER),
    _t("R11.norm", 1e-4, "norm", "of the first layer's gradient", AUTOTRAINER),
    _t("R12.ratio", 70, "times", "first over last layer's gradient norm", AUTOTRAINER),
    _t("R12.spike", 100, "times", "largest over median gradient norm"),
    _t("R12.norm", 10, "norm", "of the largest gradient: smaller ones move nothing far"),
    _t("R13.dead", 0.5, "share of units", "of a layer that are 0 on a whole batch"),
    _t("R13.most", 0.7, "share of units", "above, the layer is lost", AUTOTRAINER),
    _t("R13.closed", 0.99, "share of units", "above, nothing passes the layer", "arithmetic"),
    _t("R13.rows", 16, "rows", "fewer rows in a batch say little about a unit"),
    _t("R14.saturated", 0.5, "share of outputs", "within 1 % of the limits"),
    _t("R15.features", 100, "times", "largest over smallest standard deviation of the features", THUMB),
    _t("R15.largest", 100, "value", "of an unscaled feature that outweighs others of usual size", THUMB),
    _t("R16.spike", 3, "times", "highest over median late loss"),
    _t("R16.beta2", 0.99, "beta2", "above, old gradients stay in the second moment for hundreds of steps"),
    _t("R16.ratio", 1, "of the limit", "preconditioned sharpness", "Cohen et al. 2022, arXiv:2207.14484"),
    _t("R17.spread", 1e3, "times", "99th percentile over median of the rates of single parameters"),
    _t("R17.eps", 0.5, "of lr / eps", "median rate: above, eps decides the rate, not the gradients"),
    _t("R17.unused", 0.01, "share of parameters", "whose second moment is 0"),
    _t("R18.left", 0.01, "share of the first", "median rate of single parameters"),
    _t(
        "R19.rate",
        100,
        "times",
        "a rate over the one that is usual for its optimizer: too high, not only at first",
        THUMB,
    ),
    _t("R19.early", 0.05, "share of the run", "what counts as its beginning", "tuning playbook (Google 2023)"),
    _t("R19.rise", 2.5, "times", "highest early loss over the first one"),
    _t("R20.small", 0.1, "times", "batch over noise scale", "McCandlish et al. 2018, arXiv:1812.06162"),
    _t("R20.large", 10, "times", "batch over noise scale", "McCandlish et al. 2018, arXiv:1812.06162"),
    _t("R21.rise", 0.1, "share", "of the validation loss above its minimum"),
    _t("R21.stretch", 0.2, "share of evaluations", "since that minimum"),
    _t("R21.fault", 1, "of the trivial loss", "a validation loss that ends above the trivial loss"),
    _t("R21.gap", 0.25, "share of validation loss", "by which the training loss is below it"),
    _t("R21.heart", 0.9, "share of the way", "on training rows: above, they are known by heart"),
    _t("R21.holds", 0.65, "of that", "which holds on validation rows: below, much of it does not"),
    _t("R22.apart", 1e-4, "relative", "difference of recorded and planned rate", "arithmetic"),
    _t("R22.low", 0.0101, "share of the largest", "a rate at which little more is learned"),
    _t("R22.mean", 0.1, "of the largest rate", "mean rate: below, the rate fell before the run had learned"),
    _t("R22.tiny", 1e-3, "share of the largest", "a rate too small to learn anything"),
    _t("R22.early", 0.9, "share of the way", "above, a rate that fell early did no harm"),
    _t("R22.wasted", 0.4, "share of the run", "spent at such a rate"),
    _t("R23.rows", 4, "rows", "fewer rows normalised together lose their information", "arithmetic"),
    _t("R23.gap", 2, "times", "loss with batch statistics over that with running statistics", THUMB),
    _t("R23.matters", 0.1, "share of the trivial loss", "by which the two losses differ"),
    _t("R24.frozen", 0.5, "share of parameters", "that are not trained"),
    _t("R25.lost", 0.5, "share of entries", "whose update is too small to change the weight"),
    _t("R26.runs", 3, "seeds", "fewer say nothing about a spread", THUMB),
    _t("R26.spread", 0.25, "share of what was learned", "standard deviation of the final values over the seeds"),
    _t("R27.share", 0.05, "share of the part", "held-out rows that equal a training row: above, a warning", THUMB),
    _t("R29.most", 0.75, "of what another reached", "reaching less than this is less than these data allow"),
    _t("R29.errors", 3, "standard errors", "a smaller difference is noise of the rows", THUMB),
    _t("R29.steps", 50, "steps", "of a fresh training: fewer say nothing about what cannot be learned", THUMB),
    _t("R29.as_fast", 0.67, "of what true targets give", "that shuffled ones give: above, it is memorising"),
    _t("R29.apart", 3, "times", "between two lengths of updates that differ"),
    _t("R29.schedule", 0.3, "of the largest rate", "mean rate: below, the schedule is the first to blame; cosine: 0.5"),
    _t("R29.decayed", 1, "e-foldings", "that decay alone takes the weights through within the run", "arithmetic"),
    _t("R29.normed", 8, "rows", "normalised together: fewer give every batch other statistics", "Ioffe 2017"),
    _t("R29.first_layer", 0.1, "of the rate", "that layer-wise decay leaves the first layer of a fresh model"),
    _t("R29.delta", 0.1, "of the targets' deviation", "huber's delta: below, nearly all gradients are cut off"),
    _t("R29.penalty", 0.03, "decay", "that is added to the loss: above, it outweighs a loss of a few nats", THUMB),
    _t("R29.updates", 2, "times", "as many updates, in smaller batches of as many rows"),
    _t("R29.momentum", 0.98, "momentum", "above, more than 50 updates are averaged", THUMB),
    _t("R29.eps", 1e-4, "eps", "above, it is larger than the gradients of many layers", THUMB),
    _t("R29.squashed", 4, "layers", "of sigmoids: a 256th of the gradient passes, at most", "arithmetic"),
    _t("R30.features", 0.05, "share of features", "whose mean lies half a deviation from the other part's"),
    _t("R30.classes", 0.1, "share of rows", "of classes that are rarer in the other part"),
    _t("R30.chance", 4, "times chance", "difference of the classes' shares that a random split hardly gives", THUMB),
    _t("R30.told", 0.999, "share of the target", "that one feature alone tells: above, it contains the target", THUMB),
    _t("R30.rows", 100, "different rows", "at least, and a fifth of it for each class: fewer fit by chance", THUMB),
    _t("R30.kept", 0.9, "share of the target", "that it tells in the validation part: below, it is not there"),
    _t("R31.constant", 0.5, "share of features", "with one value in every row", THUMB),
    _t("R32.dropout", 0.5, "probability", "above, more is hidden than shown", "Srivastava et al. 2014, JMLR 15"),
    _t("R32.most", 0.8, "probability", "of dropout: above, what is kept is scaled by five or more", "arithmetic"),
    _t("R32.enough", 0.85, "share of the way", "on validation rows: above, dropout does no harm"),
    _t("R32.hidden", 0.1, "share of the trivial loss", "training loss with dropout above the validation loss without"),
    _t("R33.fallen", 0.15, "of what was left", "fall of the loss from the second to the last quarter of the run"),
    _t("R33.little", 0.35, "share of the way", "above, an early end is a note: the next steps give less and less"),
    _t(
        "R33.last", 0.25, "of what was left", "fall of the loss in the last quarter: above, the next steps give as much"
    ),
    _t("R33.open", 0.8, "share of the way", "above, what an early end left is not worth more training"),
    _t("R33.more", 0.15, "of what was left", "that trainings beside the run took away: below, it is as good as done"),
    _t("R33.epochs", 1, "epochs", "fewer: most rows were never seen", "arithmetic"),
    _t("R35.held", 0.75, "share of the way", "below, a setting far from usual is to blame"),
    _t("R36.held", 0.9, "share of the way", "below, a setting far from usual takes away what is missing"),
    _t("R36.narrow", 4, "units", "or channels, of a hidden layer: so few bound what it can tell apart", THUMB),
    _t("R34.spread", 0.1, "share of the trivial loss", "standard deviation of the losses of one epoch's batches"),
    _t("R28.share", 0.1, "share of the time", "that updates wait for their batches", THUMB),
    _t("R28.points", 3, "points", "of a second each: fewer say nothing about a whole run", THUMB),
)
_BY_KEY = {each.key: each for each in TABLE}


def threshold(key: str) -> Threshold:
    """Return the entry; raise KeyError for one that is not in the table."""
    return _BY_KEY[key]


def limit(key: str) -> float:
    """Return the number of an entry."""
    return _BY_KEY[key].value
