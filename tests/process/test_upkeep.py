"""What the API's upkeep removes from its disk."""

import os
import threading
import time
from pathlib import Path

from sqlalchemy import Engine

from service.process.refusals import Refusals
from service.process.upkeep import KeyUse, Upkeep
from service.settings import Settings


def test_an_api_without_a_worker_beside_it_removes_uploads_that_never_arrived(engine: Engine, tmp_path: Path) -> None:
    settings = Settings(database_url="postgresql+psycopg://", data_dir=tmp_path)
    incoming = settings.dataset_dir / ".incoming"
    incoming.mkdir(parents=True)
    for name, age_s in (("old", 90_000.0), ("new", 60.0)):
        (incoming / name).write_bytes(b"x")
        os.utime(incoming / name, (time.time() - age_s,) * 2)
    Upkeep(engine, settings, KeyUse(), Refusals(), threading.Event()).look()
    assert not (incoming / "old").exists()
    assert (incoming / "new").exists()
