"""A simulated accelerator that computes on the CPU and lists what a loop would wait for on a GPU.

Torch sees a second device, `simulated:0`, with its own optimizer implementations (fused, foreach, capturable). Each of
its tensors holds one of the CPU, so a training has real values. A dispatch mode sees every operation: it notes those
that return only after the device has caught up, and fails where a GPU would refuse to mix devices. It sees more than
the meta device, which has no values, and cannot tell a counter on the host from one on the device.

It cannot see waits inside one of CUDA's own kernels. `tests/gpu/checks/no_waiting.py` has torch look for those.
"""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "simulated"
DEVICE_SIZED = (  # their results' shapes depend on values, or they return one to Python
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::unique_consecutive",
    "aten::bincount",
    "aten::histc",
    "aten::equal",
    "aten::_coalesce",
    "aten::_linalg_check_errors",
    "aten::repeat_interleave.Tensor",
)
INDEXING = ("aten::index.Tensor", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")
CROSSING = ("aten::_to_copy", "aten::copy_", "aten::_foreach_copy_")


def _gru(gates: Tensor, hidden_gates: Tensor, hidden: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return torch.zeros_like(hidden), gates.new_zeros(len(hidden), 5 * hidden.shape[1])


def _gru_backward(grad: Tensor, workspace: Tensor, has_bias: bool) -> tuple[Tensor | None, ...]:
    gates, bias = grad.new_zeros(len(grad), 3 * grad.shape[1]), grad.new_zeros(3 * grad.shape[1])
    return gates, gates.clone(), torch.zeros_like(grad), *((bias, bias.clone()) if has_bias else (None, None))


def _lstm(gates: Tensor, hidden_gates: Tensor, cell: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return torch.zeros_like(cell), torch.zeros_like(cell), torch.zeros_like(gates)


def _lstm_backward(
    grad: Tensor | None, of_cell: Tensor | None, cell: Tensor, _new: Tensor, gates: Tensor, has_bias: bool
) -> tuple[Tensor | None, ...]:
    return torch.zeros_like(gates), torch.zeros_like(cell), gates.new_zeros(gates.shape[1]) if has_bias else None


# torch has these for devices only; here they have the right shapes, and zeros for values
FUSED_CELLS: dict[str, Callable[..., tuple[Tensor | None, ...]]] = {
    "aten::_thnn_fused_gru_cell": _gru,
    "aten::_thnn_fused_gru_cell_backward": _gru_backward,
    "aten::_thnn_fused_lstm_cell": _lstm,
    "aten::_thnn_fused_lstm_cell_backward_impl": _lstm_backward,
}


class DeviceTensor(Tensor):
    """A tensor of the simulated device."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "DeviceTensor":
        """Wrap a tensor of the CPU."""
        facts: dict[str, Any] = {"dtype": held.dtype, "layout": held.layout, "device": f"{NAME}:0"}
        if held.layout == torch.strided:
            facts |= {"strides": held.stride(), "storage_offset": held.storage_offset()}
        made: DeviceTensor = torch.Tensor._make_wrapper_subclass(cls, held.shape, **facts)
        made.held = held
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        """Show the values without a wait."""
        return f"DeviceTensor({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Refuse: there is no kernel."""
        raise AssertionError(f"{func} outside the simulation")


class _Backend(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


def _held(value: Any) -> Any:
    return value.held if isinstance(value, DeviceTensor) else value


class Simulation(TorchDispatchMode):
    """Runs operations on the CPU; `waits` has one entry for each that waits: the operation and who called it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.pinned: dict[int, Any] = {}  # storages by address, kept so that no address is reused

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation."""
        kwargs, name = dict(kwargs or {}), func.name()
        leaves = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        ours = [each for each in leaves if isinstance(each, DeviceTensor)]
        on_device = bool(ours)
        if (device := kwargs.get("device")) is not None:
            on_device, kwargs["device"] = torch.device(device).type == NAME, torch.device("cpu")
        pins = kwargs.pop("pin_memory", None) or name == "aten::_pin_memory"
        if name == "aten::is_pinned":
            return self._is_pinned(args[0])
        if ours or on_device:
            self._note(name, args, kwargs, leaves, to_device=on_device)
        if name == "aten::_pin_memory":
            out = args[0].clone()
        elif name in FUSED_CELLS:
            out = FUSED_CELLS[name](*map(_held, args))
        else:
            out = func(*tree_map(_held, args), **tree_map(_held, kwargs))
        if torch.Tag.inplace_view in func.tags:
            _change_shape(func, args, kwargs)
        if pins:
            self.pin(out)
        same = {id(each.held): each for each in ours}
        if not on_device or name == "aten::copy_":
            return args[0] if name == "aten::copy_" else out
        return tree_map(lambda each: _wrapped(each, same), out)

    def _note(self, name: str, args: Any, kwargs: Any, leaves: list[Tensor], *, to_device: bool) -> None:
        """Record a wait, or fail where devices mix."""
        base = name if name in DEVICE_SIZED else name.partition(".")[0]
        if base in DEVICE_SIZED:
            self._wait(name)
        elif base in CROSSING:
            self._note_copy(name, base, args, kwargs, to_device=to_device)
        elif name in INDEXING or base in INDEXING:
            indices = [each for each in args[1] if each is not None]
            fills = base != "aten::index" and args[2].numel() == 1  # torch fills under the mask
            if any(each.dtype in (torch.bool, torch.uint8) for each in indices) and not fills:
                self._wait(f"{name} with a mask")
            elif any(not isinstance(each, DeviceTensor) for each in indices):
                self._wait(f"{name} with an index on the host")
        else:
            mixed = [each for each in leaves if not isinstance(each, DeviceTensor) and (each.dim() or "cat" in base)]
            assert not mixed, f"{name} mixes devices: a tensor {tuple(mixed[0].shape)} is on the host"

    def _note_copy(self, name: str, base: str, args: Any, kwargs: Any, *, to_device: bool) -> None:
        """Record a copy between host and device, unless it is asynchronous and the host's memory pinned."""
        if base == "aten::_to_copy":
            pairs = [(args[0], None)]
        else:
            into, source = args[:2]
            pairs = list(zip(source, into, strict=True)) if base == "aten::_foreach_copy_" else [(source, into)]
        free = kwargs.get("non_blocking") or (base != "aten::_to_copy" and len(args) > 2 and args[2])
        for source, into in pairs:
            from_device = isinstance(source, DeviceTensor)
            if from_device == (to_device if into is None else isinstance(into, DeviceTensor)):
                continue
            host = into if from_device else source
            if not (free and host is not None and self._is_pinned(host)):
                self._wait(f"{name} between host and device")

    def pin(self, tensor: Tensor) -> Tensor:
        """Take the tensor's memory as pinned."""
        storage = tensor.untyped_storage()
        self.pinned[storage.data_ptr()] = storage
        return tensor

    def _is_pinned(self, tensor: Tensor) -> bool:
        return not isinstance(tensor, DeviceTensor) and tensor.untyped_storage().data_ptr() in self.pinned

    def _wait(self, what: str) -> None:
        frames = [each for each in traceback.extract_stack() if "site-packages" not in each.filename]
        last = [each for each in frames if not each.filename.endswith("simulated_device.py")][-1:]
        self.waits.append(what + "".join(f" at {each.filename.rpartition('/')[2]}:{each.lineno}" for each in last))


def _change_shape(func: Any, args: Any, kwargs: Any) -> None:
    """Give the wrapper the sizes and strides that the operation gave the tensor it holds."""
    included = torch._C._meta_in_tls_dispatch_include()
    with no_dispatch():
        torch._C._set_meta_in_tls_dispatch_include(True)
        try:
            func(*args, **kwargs)
        finally:
            torch._C._set_meta_in_tls_dispatch_include(included)


def _wrapped(value: Any, same: dict[int, DeviceTensor]) -> Any:
    if not isinstance(value, Tensor) or isinstance(value, DeviceTensor):
        return value
    return same[id(value)] if id(value) in same else DeviceTensor(value)


_registered: list[torch.library.Library] = []


@contextmanager
def simulated_device() -> Iterator[tuple[Simulation, torch.device]]:
    """Give the device inside, and the simulation that lists its waits."""
    if not _registered:  # once a process
        _setup_privateuseone_for_python_backend(NAME, _Backend())
        autocast = torch.library.Library("_", "IMPL", "AutocastPrivateUse1")
        autocast.fallback(torch.library.fallthrough_kernel)  # it casts nothing
        _registered.append(autocast)
    lifts, overwrites = torch._C._only_lift_cpu_tensors(), torch.__future__.get_overwrite_module_params_on_conversion()
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=...) makes it on the host and copies it
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    simulation = Simulation()
    pins = mock.patch.object(Tensor, "pin_memory", lambda tensor: simulation.pin(tensor.clone()))
    try:
        with pins, simulation:  # other threads pin too, and have no mode
            yield simulation, torch.device(NAME, 0)
    finally:
        torch._C._set_only_lift_cpu_tensors(lifts)
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)


class NoEvent:
    """A device's event that has always passed: the CPU computes at once."""

    def record(self) -> None:
        """Mark nothing."""

    def query(self) -> bool:
        """Return true."""
        return True

    def synchronize(self) -> None:
        """Return at once."""


__all__ = ["DeviceTensor", "NoEvent", "Simulation", "simulated_device"]
