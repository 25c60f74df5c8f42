"""Prints what a proof runs on, as JSON: `python -m tests.gpu.environment`."""

import json
import platform
import subprocess

import torch


def environment() -> dict[str, object]:
    """Return the versions, and the GPU or why there is none."""
    found: dict[str, object] = {"python": platform.python_version(), "torch": torch.__version__}
    if not torch.cuda.is_available():
        built = torch.version.cuda
        why = (
            f"torch {torch.__version__} sees no GPU" if built else f"torch {torch.__version__} is a build without CUDA"
        )
        return found | {"gpu": None, "why": why}
    properties = torch.cuda.get_device_properties(0)
    found |= {"gpu": properties.name, "MiB": properties.total_memory // 2**20, "cuda": torch.version.cuda}
    return found | {"driver": driver(), "cudnn": torch.backends.cudnn.version()}


def driver() -> str | None:
    """Return the driver's version."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return None


if __name__ == "__main__":
    print(json.dumps(environment()))
