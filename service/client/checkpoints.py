"""Downloading a kept state: whole and hashed, or no file at all."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from service.client.errors import Unreachable, Unusable
from service.client.http import Http
from service.client.views import Checkpoint


def download(http: Http, run_id: str, kept: Sequence[Checkpoint], step: int, target: Path) -> Path:
    """The newest checkpoint of `step` in the file `target`."""
    found = [each for each in kept if each.step == step]
    if not found:
        listed = ", ".join(str(each.step) for each in kept) or "none"
        raise Unusable(f"no checkpoint of step {step} is kept; kept are: {listed}")
    chosen = max(found, key=lambda each: each.attempt)
    part = target.with_name(f".{target.name}.part")
    digest = hashlib.sha256()
    try:
        with http.stream(f"/v1/runs/{run_id}/checkpoints/{chosen.step}/file") as answer, part.open("wb") as file:
            for piece in answer.iter_raw():
                digest.update(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        if chosen.sha256 and digest.hexdigest() != chosen.sha256:
            raise Unreachable("what arrived is not what the server stored: try again")
        part.replace(target)
    except OSError as error:
        raise Unusable(f"{target} cannot be written ({error.strerror})") from None
    finally:
        part.unlink(missing_ok=True)
    return target
