"""Cyclic schedules, which can also cycle the momentum in the opposite direction."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Beta, Count, Default, PositiveRate
from service.spec.schedules.base import Factor, Floor, ScheduleBase, Strategy, anneal, cut_short, ignored

# torch's default is true, which silently gives an SGD without momentum one of 0.9
CycleMomentum = Annotated[bool, Field(description="lower the momentum (or first beta) while the rate rises")]
LowMomentum = Annotated[Beta, Field(description="momentum at the highest rate, with cycle_momentum")]
HighMomentum = Annotated[Beta, Field(description="momentum at the lowest rate, with cycle_momentum")]


class Cyclic(ScheduleBase):
    """Cyclical rate: linear rises from `base_lr` to `max_lr` and falls back, repeated."""

    torch_scheduler = "CyclicLR"
    left_out = ScheduleBase.left_out | {
        "scale_fn": "a function; the three modes are its named forms",
        "scale_mode": "each mode has its own",
    }
    formula = "base_lr + (max_lr - base_lr) * height * {1, 0.5 ** (cycle - 1), gamma ** s}"
    paper = "Smith 2017, arXiv:1506.01186"

    kind: Literal["cyclic"] = "cyclic"
    base_lr: Floor = Field(description="lowest rate")
    max_lr: PositiveRate = Field(description="highest rate")
    step_size_up: Count = Field(2000, description="updates of each rise")
    step_size_down: Count | None = Field(None, description="updates of each fall; null: step_size_up")
    mode: Literal["triangular", "triangular2", "exp_range"] = Field(
        "triangular", description="amplitude: constant, halved each cycle, or multiplied by gamma at each update"
    )
    gamma: Factor = Field(1.0, description="factor of the amplitude per update, in mode exp_range")
    cycle_momentum: CycleMomentum = False
    base_momentum: LowMomentum = 0.8
    max_momentum: HighMomentum = 0.9

    def inferred_defaults(self) -> Iterator[Default]:
        """Yield bounds of the momentum in the right order."""
        yield from _fitting_momenta(self)

    def problems(self) -> Iterator[Problem]:
        """Yield bounds in the wrong order, which torch accepts, and a gamma without effect."""
        if self.base_lr >= self.max_lr:
            yield Problem("/base_lr", "contradiction", "base_lr must be below max_lr.", limit=self.max_lr)
        if self.gamma != 1 and self.mode != "exp_range":
            yield Problem("/gamma", "no_effect", "gamma acts in mode exp_range only: set the mode or drop gamma.")
        yield from _momenta(self)

    def rate(self, base: float, s: int, total: int) -> float:
        """Return the rate: `base_lr` at s = 0, `max_lr` at s = step_size_up in mode triangular."""
        return self.base_lr + (self.max_lr - self.base_lr) * self._height(s)

    def momentum(self, s: int, total: int) -> float | None:
        """Return the momentum: `max_momentum` where the rate is lowest, `base_momentum` where it is highest."""
        if not self.cycle_momentum:
            return None
        return self.max_momentum - (self.max_momentum - self.base_momentum) * self._height(s)

    def _height(self, s: int) -> float:
        """Return the height in the cycle: 0 at the foot, at most 1 at the peak."""
        up, down = self.step_size_up, self.step_size_down or self.step_size_up
        cycles, place = divmod(s, up + down)
        height = place / up if place <= up else (up + down - place) / down
        if self.mode == "triangular2":
            return height * float(0.5**cycles)
        return height * float(self.gamma**s) if self.mode == "exp_range" else height

    @property
    def absolute_field(self) -> str:
        """Both bounds are rates."""
        return "max_lr"

    @property
    def momentum_pointer(self) -> str:
        """Set by `cycle_momentum`."""
        return "/cycle_momentum" if self.cycle_momentum else ""

    def warnings(self, base: float, total: int) -> Iterator[Problem]:
        """Yield an optimizer's rate that has no effect, and a run that only rises."""
        if base not in (self.base_lr, self.max_lr):
            yield ignored("max_lr", base)
        if self.step_size_up >= total:
            yield cut_short("step_size_up", self.step_size_up, total)


class OneCycle(ScheduleBase):
    """Up to `max_lr`, then down to far below the start: one cycle that fills the run."""

    torch_scheduler = "OneCycleLR"
    left_out = ScheduleBase.left_out | {
        "epochs": "total_steps, in what the schedule counts",
        "steps_per_epoch": "total_steps, in what the schedule counts",
    }
    formula = "max_lr / div_factor -> max_lr -> max_lr / div_factor / final_div_factor"
    paper = "Smith & Topin 2018, arXiv:1708.07120"

    kind: Literal["one_cycle"] = "one_cycle"
    max_lr: PositiveRate | None = Field(None, description="peak rate; null: the optimizer's lr")
    total_steps: Count | None = Field(None, description="length of the schedule; null: the whole run")
    pct_start: Annotated[float, Field(gt=0, lt=1)] = Field(0.3, description="share of the cycle spent rising")
    anneal_strategy: Strategy = "cos"
    cycle_momentum: CycleMomentum = False
    base_momentum: LowMomentum = 0.85
    max_momentum: HighMomentum = 0.95
    div_factor: Annotated[float, Field(ge=1, le=1e12)] = Field(
        25.0, description="ratio of the peak rate to the first rate"
    )
    final_div_factor: Annotated[float, Field(gt=0, le=1e12)] = Field(
        1e4, description="ratio of the first rate to the last rate"
    )
    three_phase: bool = Field(False, description="fall to the first rate in a phase of its own, then to the last rate")

    def inferred_defaults(self) -> Iterator[Default]:
        """Yield bounds of the momentum in the right order."""
        yield from _fitting_momenta(self)

    def problems(self) -> Iterator[Problem]:
        """Yield phases that do not fit, and a last rate above the peak."""
        if self.three_phase and self.pct_start > 0.5:
            detail = "three phases need pct_start <= 0.5: the second is as long as the first."
            yield Problem("/pct_start", "contradiction", detail, limit=0.5)
        if self.div_factor * self.final_div_factor < 1:
            detail = "the last rate would be above max_lr: final_div_factor must be at least 1 / div_factor."
            yield Problem("/final_div_factor", "contradiction", detail, limit=1 / self.div_factor)
        yield from _momenta(self)

    def rate(self, base: float, s: int, total: int) -> float:
        """Return the rate; the last one, at s = total_steps - 1, stays, while torch refuses to continue."""
        high = base if self.max_lr is None else self.max_lr
        low = high / self.div_factor
        least = low / self.final_div_factor
        phase, u = self._place(s, total)
        ends = (low, high, low, least) if self.three_phase else (low, high, least)
        return anneal(ends[phase], ends[phase + 1], u, self.anneal_strategy)

    def momentum(self, s: int, total: int) -> float | None:
        """Return the momentum: `max_momentum` at both ends, `base_momentum` at the peak of the rate."""
        if not self.cycle_momentum:
            return None
        phase, u = self._place(s, total)
        ends = (self.max_momentum, self.base_momentum, self.max_momentum, self.max_momentum)
        return anneal(ends[phase], ends[phase + 1], u, self.anneal_strategy)

    def _place(self, s: int, total: int) -> tuple[int, float]:
        """Return the phase of update `s` and its share that is over; phases shorter than one update are skipped."""
        length = self.total_steps or max(total, 1)
        rising = self.pct_start * length
        ends = [rising - 1, 2 * rising - 2, length - 1] if self.three_phase else [rising - 1, length - 1]
        starts, s = [0.0, *ends], min(s, length - 1)
        phase = next(i for i, end in enumerate(ends) if s <= end and (starts[i] < end or i == len(ends) - 1))
        span = ends[phase] - starts[phase]
        return phase, (s - starts[phase]) / span if span > 0 else 1.0

    @property
    def absolute_field(self) -> str:
        """The peak, if given."""
        return "" if self.max_lr is None else "max_lr"

    @property
    def momentum_pointer(self) -> str:
        """Set by `cycle_momentum`."""
        return "/cycle_momentum" if self.cycle_momentum else ""

    def run_problems(self, total: int) -> Iterator[Problem]:
        """Yield a problem for a cycle that ends before the run."""
        if self.total_steps is not None and self.total_steps < total:
            detail = f"the cycle ends before the run, which is {total} long: give at least that, or null."
            yield Problem("/total_steps", "contradiction", detail, limit=total)

    def warnings(self, base: float, total: int) -> Iterator[Problem]:
        """Yield an optimizer's rate that has no effect, and a cycle that the run does not finish."""
        if self.max_lr is not None and self.max_lr != base:
            yield ignored("max_lr", base)
        if self.total_steps is not None and self.total_steps > total:
            yield cut_short("total_steps", self.total_steps, total)


def _fitting_momenta(schedule: Cyclic | OneCycle) -> Iterator[Default]:
    low, high = schedule.base_momentum, schedule.max_momentum
    if low > high and "base_momentum" in schedule.model_fields_set:
        yield Default("max_momentum", low, f"{low}, as /base_momentum, which it must not be below.")
    elif low > high:
        yield Default("base_momentum", high, f"{high}, as /max_momentum, which it must not be above.")


def _momenta(schedule: Cyclic | OneCycle) -> Iterator[Problem]:
    """Yield bounds of the momentum in the wrong order, which torch accepts."""
    if schedule.base_momentum > schedule.max_momentum:
        detail = "base_momentum, which belongs to the highest rate, must be at most max_momentum."
        yield Problem("/base_momentum", "contradiction", detail, limit=schedule.max_momentum)
