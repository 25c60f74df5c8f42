"""Probes of the doctor: a small file is written, read and deleted in each storage; a server's certificate is read."""

import hashlib
import os
import socket
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from service.admin.line import Line
from service.settings import Settings
from service.storage.factory import open_store, open_uploads
from service.storage.files import FILES, sha256_of_folder


def uploads(settings: Settings) -> Iterator[Line]:
    """Store an upload that nobody else has, read it, and remove it."""
    store, content = open_uploads(settings), os.urandom(64)
    sha256 = hashlib.sha256(content).hexdigest()
    incoming = settings.dataset_dir / ".incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    arriving = incoming / uuid4().hex
    arriving.write_bytes(content)
    store.send(arriving, sha256)
    store.keep(arriving, sha256)
    try:
        with store.opened(sha256) as path:
            well = path.read_bytes() == content
    finally:
        store.remove(sha256)
    yield Line("uploads", "ok" if well else "fail", "written, read and deleted" if well else "what is read differs")


def checkpoints(settings: Settings) -> Iterator[Line]:
    """Store a checkpoint of no run, read it, and remove it."""
    store, key = open_store(settings), Path(f"run_{uuid4().hex}") / "a0-00000000" / "step-0"
    with tempfile.TemporaryDirectory() as folder:
        place = (settings.checkpoint_dir if store.in_place else Path(folder)) / key
        place.mkdir(parents=True)
        for name in FILES:
            (place / name).write_bytes(os.urandom(64))
        sha256 = sha256_of_folder(place)
        location = store.keep(place, sha256)
        try:
            well = store.sha256(location) == sha256
        finally:
            store.remove(location)
    yield Line("checkpoints", "ok" if well else "fail", "written, read and deleted" if well else "what is read differs")


def certificate(host: str, port: int) -> str:
    """Return the end of a server's certificate, as OpenSSL writes times; raise if it is not to be trusted."""
    with (
        socket.create_connection((host, port), timeout=5) as plain,
        ssl.create_default_context().wrap_socket(plain, server_hostname=host) as wrapped,
    ):
        found = wrapped.getpeercert() or {}
        return str(found["notAfter"])
