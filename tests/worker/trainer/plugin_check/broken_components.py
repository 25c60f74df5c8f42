"""The sources of a package most of whose components are broken, each in one way."""

from collections.abc import Collection
from pathlib import Path

MODELS = '''
from typing import Literal
from service.spec.models.base import ModelBase
from service.spec.models.leaf import affine

class Base(ModelBase):
    ranks = (1,)
    def leaves(self, shape, outputs):
        return None

class Misdescribed(ModelBase):
    """Its layer is called otherwise."""
    ranks = (1,)
    target = "ours.modules:Right"
    kind: Literal["misdescribed"] = "misdescribed"
    def leaves(self, shape, outputs):
        yield affine("first", shape[0], outputs, True, 0)

class Unfillable(Base):
    """A field has no default."""
    target = "ours.modules:Scaled"
    kind: Literal["unfillable"] = "unfillable"
    times: float

class Filled(Base):
    """Its example says which value."""
    target = "ours.modules:Scaled"
    example = {"model": {"kind": "filled", "times": 2.0}, "dataset": {"kind": "wine"}}
    kind: Literal["filled"] = "filled"
    times: float

class Sequences(Base):
    """No bundled data have rows of three dimensions but images."""
    target = "ours.modules:Right"
    ranks = (4,)
    kind: Literal["sequences"] = "sequences"

class Tunable(Base):
    """Its target does not take the field."""
    target = "ours.modules:Right"
    kind: Literal["tunable"] = "tunable"
    width: int = 3
'''
MODULES = '''
import random
import numpy as np
import torch
from torch import nn

class Right(nn.Module):
    def __init__(self, shape, outputs):
        super().__init__()
        self.layer, self.outputs = nn.Linear(shape[0], outputs), outputs

    def forward(self, x):
        return self.layer(x)

class Scaled(Right):
    def __init__(self, shape, outputs, times):
        super().__init__(shape, outputs)
        self.times = times

    def forward(self, x):
        return self.times * self.layer(x)

class NoForward(nn.Module):
    def __init__(self, shape, outputs):
        super().__init__()
        self.layer = nn.Linear(shape[0], outputs)

class NoModule:
    def __init__(self, shape, outputs):
        pass

class OneTooMany(Right):
    def __init__(self, shape, outputs):
        super().__init__(shape, outputs + 1)

class Pair(Right):
    def forward(self, x):
        return self.layer(x), x

class Lazy(nn.Module):
    def __init__(self, shape, outputs):
        super().__init__()
        self.layer = nn.LazyLinear(outputs)

    def forward(self, x):
        return self.layer(x)

class Late(Right):
    def forward(self, x):
        if not hasattr(self, "scale"):
            self.scale = nn.Parameter(torch.ones(()))
        return self.scale * self.layer(x)

class Counting(Right):
    calls = 0

    def forward(self, x):
        self.calls += self.training
        return self.layer(x) * (1 + self.calls / 100)

class Counted(Right):
    """The same, as it should be."""

    def __init__(self, shape, outputs):
        super().__init__(shape, outputs)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        if self.training:
            self.calls += 1
        return self.layer(x) * (1 + self.calls / 100)

class Forgetful(Counted):
    def __init__(self, shape, outputs):
        super().__init__(shape, outputs)
        del self.calls
        self.register_buffer("calls", torch.zeros(()), persistent=False)

class OwnGenerator(Right):
    def __init__(self, shape, outputs):
        super().__init__(shape, outputs)
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x):
        return self.layer(x) * (1 + torch.rand((), generator=self.generator))

class PythonRandom(Right):
    def forward(self, x):
        return self.layer(x) * random.random()

class NumpyRandom(Right):
    def forward(self, x):
        return self.layer(x) * np.random.rand()

class Unseeded(Right):
    def forward(self, x):
        return self.layer(x) * float(np.random.default_rng().random())

class TorchRandom(Right):
    """The same, as it should be."""

    def forward(self, x):
        return self.layer(x) * torch.rand(())

class Raising(Right):
    def forward(self, x):
        if self.training:
            raise ArithmeticError("two rows are needed")
        return self.layer(x)

class NotANumber(Right):
    def forward(self, x):
        return self.layer(x) * float("nan")
'''
SIMPLE = (  # models of these modules without a field
    *("Right", "NoForward", "NoModule", "OneTooMany", "Pair", "Lazy", "Late", "Counting", "Counted", "Forgetful"),
    *("OwnGenerator", "PythonRandom", "NumpyRandom", "Unseeded", "TorchRandom", "Raising", "NotANumber", "Gone"),
)
SIMPLE_MODEL = '''
class {name}(Base):
    """A model."""
    target = "ours.modules:{name}"
    kind: Literal["{kind}"] = "{kind}"
'''
LOSSES = '''
from typing import Literal
from service.spec.losses.base import LossBase

class Rowwise(LossBase):
    """It does not reduce."""
    target = "ours.criteria:Rowwise"
    tasks = ("regression",)
    kind: Literal["rowwise"] = "rowwise"

class Running(LossBase):
    """It changes its mean outside of training too."""
    target = "ours.criteria:Running"
    tasks = ("classification",)
    kind: Literal["running"] = "running"

class Learning(LossBase):
    """It has a parameter."""
    target = "ours.criteria:Learning"
    tasks = ("classification",)
    kind: Literal["learning"] = "learning"

class Counting(LossBase):
    """It counts outside of its buffers."""
    target = "ours.criteria:Counting"
    tasks = ("classification",)
    kind: Literal["counting"] = "counting"

class Steady(LossBase):
    """It keeps a mean in a buffer, and changes it in training only."""
    target = "ours.criteria:Steady"
    tasks = ("classification",)
    kind: Literal["steady"] = "steady"
'''
CRITERIA = """
import torch
from torch import nn

class Rowwise(nn.Module):
    def forward(self, outputs, y):
        return (outputs - y).square()

class Running(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.ones(()))

    def forward(self, logits, y):
        loss = nn.functional.cross_entropy(logits, y)
        if torch.is_grad_enabled():
            self.mean = 0.9 * self.mean + 0.1 * loss.detach()
        return loss / self.mean

class Learning(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, logits, y):
        return nn.functional.cross_entropy(self.scale * logits, y)

class Counting(nn.Module):
    calls = 0

    def forward(self, logits, y):
        self.calls += self.training
        return nn.functional.cross_entropy(logits, y) / (1 + self.calls)

class Steady(Running):
    def forward(self, logits, y):
        loss = nn.functional.cross_entropy(logits, y)
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * loss.detach()
        return loss / self.mean
"""
OPTIMIZERS = '''
from typing import Literal
from service.spec.optimizers.base import OptimizerBase

class Stepless(OptimizerBase):
    """It has no step."""
    target = "ours.updates:Stepless"
    left_out = {}
    kind: Literal["stepless"] = "stepless"

class Counter(OptimizerBase):
    """It counts its steps for itself."""
    target = "ours.updates:Counter"
    left_out = {}
    kind: Literal["counter"] = "counter"

class Stateful(OptimizerBase):
    """It counts where torch saves it."""
    target = "ours.updates:Stateful"
    left_out = {}
    kind: Literal["stateful"] = "stateful"
'''
UPDATES = """
import torch
from torch.optim import Optimizer

class Stepless(Optimizer):
    def __init__(self, params, lr=1e-3):
        super().__init__(params, {"lr": lr})

class Counter(Stepless):
    steps = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.steps += 1
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter -= group["lr"] / self.steps * parameter.grad

class Stateful(Stepless):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                steps = self.state[parameter].setdefault("step", torch.zeros(()))
                steps += 1
                parameter -= group["lr"] / steps * parameter.grad
"""
SCHEDULES = '''
import random
from typing import Literal
from service.spec.schedules.base import ScheduleBase

class Whimsical(ScheduleBase):
    """It draws its rates."""
    kind: Literal["whimsical"] = "whimsical"
    def scale(self, s, total):
        return random.random()

class Negative(ScheduleBase):
    """It goes below 0."""
    kind: Literal["negative"] = "negative"
    def scale(self, s, total):
        return 1 - s

class Halving(ScheduleBase):
    """Nothing is wrong with it."""
    kind: Literal["halving"] = "halving"
    def scale(self, s, total):
        return 0.5**s
'''
DATASETS = '''
from typing import Literal
from service.spec.datasets.base import Facts, TableBase

class Base(TableBase):
    known = Facts(40, (4,), "classification", 2)

class Drawn(Base):
    """Drawn without a seed."""
    target = "ours.rows:drawn"
    kind: Literal["drawn"] = "drawn"

class Short(Base):
    """Fewer rows than it says."""
    target = "ours.rows:short"
    kind: Literal["short"] = "short"

class Listed(Base):
    """No arrays."""
    target = "ours.rows:listed"
    kind: Literal["listed"] = "listed"

class Fixed(Base):
    """Nothing is wrong with it."""
    target = "ours.rows:fixed"
    kind: Literal["fixed"] = "fixed"
'''
ROWS = """
import numpy as np

def fixed(rows=40, seed=0):
    x = np.random.RandomState(seed).randn(rows, 4)
    return x, (x[:, 0] > 0).astype(np.int64)

def drawn():
    return fixed(seed=None)

def short():
    return fixed(rows=39)

def listed():
    return [[1.0, 2.0]], [1]
"""
PROBES = '''
from typing import Literal
from service.spec.probes.base import OnDemandProbe, ProbeBase

class Meddling(ProbeBase):
    """It changes a weight."""
    target = "ours.instruments:Meddling"
    kind: Literal["meddling"] = "meddling"

class Failing(ProbeBase):
    """It raises."""
    target = "ours.instruments:Failing"
    kind: Literal["failing"] = "failing"

class Largest(ProbeBase):
    """Nothing is wrong with it."""
    target = "ours.instruments:Largest"
    kind: Literal["largest"] = "largest"

class Unmeasured(OnDemandProbe):
    """It lacks its method."""
    target = "ours.instruments:Unmeasured"
    kind: Literal["unmeasured"] = "unmeasured"
'''
INSTRUMENTS = """
from worker.trainer.probes.inline.base import InlineProbe

class Largest(InlineProbe):
    def after_update(self, training, step):
        return {"largest": max(p.abs().max() for p in training.model.parameters())}

class Meddling(InlineProbe):
    def after_update(self, training, step):
        next(training.model.parameters()).mul_(0.99)
        return {}

class Failing(InlineProbe):
    def after_update(self, training, step):
        raise ValueError("no such thing")

class Unmeasured:
    def __init__(self, component):
        pass
"""
METRICS = '''
from typing import Literal
from service.spec.metrics.base import MetricBase

class Computeless(MetricBase):
    """It never says its value."""
    target = "ours.measures:Computeless"
    direction = "max"
    tasks = ("classification",)
    kind: Literal["computeless"] = "computeless"

class Many(MetricBase):
    """It has one name, and two values."""
    target = "ours.measures:Many"
    direction = "max"
    tasks = ("classification",)
    kind: Literal["many"] = "many"

class Wordy(MetricBase):
    """Its value is a word."""
    target = "ours.measures:Wordy"
    direction = "max"
    tasks = ("classification",)
    kind: Literal["wordy"] = "wordy"

class Greedy(MetricBase):
    """It overwrites what other metrics take."""
    target = "ours.measures:Greedy"
    direction = "max"
    tasks = ("classification",)
    kind: Literal["greedy"] = "greedy"

class Plain(MetricBase):
    """Its value is a number of Python: nothing is wrong with it."""
    target = "ours.measures:Plain"
    direction = "max"
    tasks = ("classification",)
    kind: Literal["plain"] = "plain"

class Share(MetricBase):
    """The share of right classes: nothing is wrong with it."""
    target = "ours.measures:Share"
    direction = "max"
    tasks = ("classification",)
    takes_classes = True
    kind: Literal["share"] = "share"
'''
MEASURES = """
import torch

class Computeless:
    def update(self, outputs, targets):
        pass

class Many:
    def update(self, outputs, targets):
        pass

    def compute(self):
        return torch.zeros(2)

class Wordy(Many):
    def compute(self):
        return "0.5"

class Greedy(Many):
    def update(self, outputs, targets):
        outputs.mul_(0)

    def compute(self):
        return torch.zeros(())

class Plain(Many):
    def compute(self):
        return 0.5

class Share:
    def __init__(self, classes):
        self.right, self.rows = torch.zeros(()), 0

    def update(self, outputs, targets):
        self.right, self.rows = self.right + (outputs.argmax(1) == targets).sum(), self.rows + len(targets)

    def compute(self):
        return self.right / self.rows
"""
PREPARATIONS = '''
from typing import Literal
from service.spec.preparation.base import NumberStepBase

class Changeless(NumberStepBase):
    """It learns, and does nothing."""
    target = "ours.columns:Changeless"
    kind: Literal["changeless"] = "changeless"

class Clipped(NumberStepBase):
    """Nothing is wrong with it."""
    target = "ours.columns:Clipped"
    kind: Literal["clipped"] = "clipped"
    share: float = 0.1
'''
COLUMNS = """
import numpy as np

class Changeless:
    def fit(self, values):
        return {}

class Clipped:
    def __init__(self, share):
        self.share = share

    def fit(self, values):
        return {"ends": np.nanquantile(values, (self.share, 1 - self.share))}

    def change(self, values, fitted):
        return np.clip(values, *fitted["ends"])
"""
AUGMENTATIONS = '''
from typing import Literal
from service.spec.augmentations.base import AugmentationBase

class Base(AugmentationBase):
    needs = ()

class Inverted(Base):
    """Nothing is wrong with it."""
    target = "ours.pictures:Inverted"
    kind: Literal["inverted"] = "inverted"

class Floating(Base):
    """It makes numbers of bytes."""
    target = "ours.pictures:Floating"
    kind: Literal["floating"] = "floating"

class Wavering(Base):
    """It draws elsewhere."""
    target = "ours.pictures:Wavering"
    kind: Literal["wavering"] = "wavering"
'''
PICTURES = """
import numpy as np
import torch

class Inverted:
    def __call__(self, image):
        return 255 - image if torch.rand(()) < 0.5 else image

class Floating:
    def __call__(self, image):
        return image / 255

class Wavering:
    def __call__(self, image):
        return image.roll(int(np.random.default_rng().integers(16)), -1)
"""
KINDS = {
    "augmentations": ("inverted", "floating", "wavering"),
    "metrics": ("computeless", "many", "wordy", "greedy", "plain", "share"),
    "preparations": ("changeless", "clipped"),
    "models": ("misdescribed", "unfillable", "filled", "sequences", "tunable"),
    "losses": ("rowwise", "running", "learning", "counting", "steady"),
    "optimizers": ("stepless", "counter", "stateful"),
    "schedules": ("whimsical", "negative", "halving"),
    "datasets": ("drawn", "short", "listed", "fixed"),
    "probes": ("meddling", "failing", "largest", "unmeasured"),
}


def write(folder: Path, only: Collection[str] = ()) -> None:
    """Write the package, with a pyproject.toml; `only`: the components that it offers, all if none is named."""
    sources = {
        "models": MODELS + "".join(SIMPLE_MODEL.format(name=name, kind=name.lower()) for name in SIMPLE),
        **{"losses": LOSSES, "optimizers": OPTIMIZERS, "schedules": SCHEDULES, "datasets": DATASETS, "probes": PROBES},
        **{"metrics": METRICS, "measures": MEASURES, "augmentations": AUGMENTATIONS, "pictures": PICTURES},
        **{"modules": MODULES, "criteria": CRITERIA, "updates": UPDATES, "rows": ROWS, "instruments": INSTRUMENTS},
        **{"preparations": PREPARATIONS, "columns": COLUMNS},
        "__init__": "",
    }
    (folder / "ours").mkdir(parents=True)
    for name, text in sources.items():
        (folder / "ours" / f"{name}.py").write_text(text)
    points = [
        (f"{'loss' if module == 'losses' else module[:-1]}.{kind}", f"ours.{module}:{kind.title()}")
        for module, kinds in KINDS.items()
        for kind in kinds
    ]
    points += [(f"model.{name.lower()}", f"ours.models:{name}") for name in SIMPLE]
    lines = ['[project]\nname = "ours"\nversion = "1.0"\n[project.entry-points."saddle.components"]']
    (folder / "pyproject.toml").write_text(
        "\n".join([*lines, *(f'"{k}" = "{v}"' for k, v in points if not only or k in only)])
    )
