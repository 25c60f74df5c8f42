"""The process that reads uploaded files for an API: `python -m service.ingest.reader`.

It loads pyarrow once and forks for each file, which takes 3 ms. A fork works under limits of memory and time, writes no
file, knows no credentials, and ends with its file; a hostile one ends it and nothing else.

One request a line on standard input, as JSON; on standard output the answer, if there is one, and a line END <status>,
where the status is that of `waitpid`.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.errors import Invalid
from service.ingest import inspect_file
from service.ingest.formats import is_binary
from service.ingest.validation import SizeLimits

FOUND, PROBLEMS = b"FOUND", b"PROBLEMS"  # the first word of an answer
END = b"END "  # begins its last line
OUT_OF_MEMORY, FAILED = 3, 4  # exit statuses
WALL_FACTOR = 4  # seconds that may pass, as a multiple of the CPU time: other processes may be busy
PR_SET_PDEATHSIG = 1  # Linux, prctl(2)
LOWER_PRIORITY = 5
LOOK_S = 0.02  # between two looks at a fork's memory


@dataclass(frozen=True)
class ReadLimits(SizeLimits):
    """What reading one file may take."""

    cpu_s: int = 240
    memory_bytes: int = 3 * 2**29  # beyond what the process has before it opens the file


def main() -> None:
    """Serve requests until standard input closes."""
    _load()
    os.nice(LOWER_PRIORITY)  # an API's requests come first
    with contextlib.suppress(OSError):  # where memory runs out, the kernel ends a reader before the API
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with os.fdopen(0, "rb", closefd=False) as requests, contextlib.suppress(BrokenPipeError):  # the API has ended
        while line := requests.readline():
            status = _read_in_fork(line)
            _write(b"\n%s%d\n" % (END, status))


def _load() -> None:
    """Load what every fork needs: the first use of pyarrow takes a second of a core."""
    import pyarrow as pa  # noqa: PLC0415

    import service.ingest.complete_rows  # noqa: PLC0415
    import service.ingest.report  # noqa: F401, PLC0415
    from service.ingest.column_statistics import ColumnStatistics  # noqa: PLC0415

    for cell in ("1", "a"):
        column = ColumnStatistics("column")
        column.add(pa.array([cell, None]))
        column.as_column()


def _read_in_fork(request: bytes) -> int:
    """Let a fork read and answer, and return how it ended."""
    here, there = os.pipe()  # closed at the fork's end
    limit = _memory(os.getpid()) + json.loads(request)["limits"]["memory_bytes"]
    pid = os.fork()
    if not pid:
        os.close(here)
        _answer(request, os.getppid())
    os.close(there)
    while not (closed := select.select([0, here], [], [], LOOK_S)[0]) and _memory(pid) <= limit:
        pass
    os.close(here)
    if here not in closed:  # it takes too much memory, or the API has ended
        os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def _memory(pid: int) -> int:
    """Return the bytes that a process has in memory; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def _answer(request: bytes, parent: int) -> None:
    """Read the file, write what was found in it, and end this process."""
    status = FAILED
    try:
        _die_with(parent)
        document = json.loads(request)
        limits = ReadLimits(**document["limits"])
        _limit_resources(limits)
        if all(is_binary(Path(path)) for path in (document["path"], *document.get("others", ()))):
            _limit_address_space(limits.memory_bytes)
        _write(_result(document, limits))
        status = 0
    except MemoryError:
        status = OUT_OF_MEMORY
    except BaseException as error:  # the message may quote the file, so it is left out
        where = "".join(traceback.format_tb(error.__traceback__))
        sys.stderr.write(f"reading an upload failed: {type(error).__name__}\n{where}")
        sys.stderr.flush()
    os._exit(status)


def _result(document: dict[str, Any], limits: ReadLimits) -> bytes:
    """Return FOUND or PROBLEMS, and what was found as JSON."""
    path, others = Path(document["path"]), [*map(Path, document.get("others", ()))]
    try:
        if "selection" in document:
            from service.ingest.complete_rows import count_complete  # noqa: PLC0415  loads numpy

            counts = count_complete(path, document["selection"], document["train"])
            return b"%s %s" % (FOUND, json.dumps(counts).encode())
        if "listed" in document:
            from service.ingest.splits.listing import list_rows  # noqa: PLC0415  likewise

            listed = list_rows([path, *others], document["listed"], document["fold"])
            return b"%s %s" % (FOUND, json.dumps(listed).encode())
        if "weighted" in document:
            from service.ingest.splits.row_weights import check_weights  # noqa: PLC0415  likewise

            check_weights(path, document["weighted"])
            return b"%s true" % FOUND
        if "split" in document:
            from service.ingest.splits.counting import count_parts  # noqa: PLC0415  likewise

            return b"%s %s" % (FOUND, json.dumps(count_parts(path, document["split"])).encode())
        if "tokens" in document:
            from service.ingest.text.count_tokens import count_tokens  # noqa: PLC0415

            file = Path(document["tokenizer"]) if "tokenizer" in document else None
            tokenized = count_tokens([path, *others], document["tokens"], tuple(document["sizes"]), file)
            return b"%s %s" % (FOUND, tokenized.model_dump_json().encode())
        report = inspect_file(path, document["format"], document["name"], document["header"], limits)
    except Invalid as error:
        problems = json.dumps([problem.as_json() for problem in error.problems])
        return b"%s %s" % (PROBLEMS, problems.encode())
    return b"%s %s" % (FOUND, report.model_dump_json().encode())


def _limit_resources(limits: ReadLimits) -> None:
    """Bound the memory, CPU time and time of this process; the kernel ends it beyond them."""
    signal.setitimer(signal.ITIMER_REAL, limits.cpu_s * WALL_FACTOR)  # SIGALRM ends the process
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _limit_address_space(memory_bytes: int) -> None:
    """Let larger requests of memory fail at once. Not for CSV: Arrow reserves 32 MiB of addresses for each column."""
    with contextlib.suppress(OSError, ValueError):  # macOS has no /proc and takes no such limit
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        size = pages * resource.getpagesize() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _die_with(parent: int) -> None:
    """End this process when its parent ends, on Linux; elsewhere its limits do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(FAILED)


def _write(answer: bytes) -> None:
    left = memoryview(answer)
    while left:
        left = left[os.write(1, left) :]


if __name__ == "__main__":
    main()
