"""A zip archive written piece by piece, so that no file of it is in memory as a whole."""

import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime

PIECE = 1 << 20  # bytes of the archive that are sent at once, at least
Files = Iterable[tuple[str, Iterable[bytes]]]


class _Sink:
    """What a zip writer takes for a file: it only collects."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: parts are taken when there are enough."""

    def close(self) -> None:
        """Do nothing: the last part is taken after the end."""

    def taken(self) -> bytes:
        """Return what was written since the last call."""
        found = b"".join(self._parts)
        self._parts, self.size = [], 0
        return found


def zip_files(files: Files, written: datetime) -> Iterator[bytes]:
    """Yield an archive of named files, uncompressed: weights do not compress. Its files have the time `written`."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, pieces in files:
            entry = zipfile.ZipInfo(name, written.timetuple()[:6])
            entry.external_attr = 0o644 << 16
            with archive.open(entry, "w", force_zip64=True) as file:
                for piece in pieces:
                    file.write(piece)
                    if sink.size >= PIECE:
                        yield sink.taken()
    yield sink.taken()
