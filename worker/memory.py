"""Memory of this machine as Linux reports it: bytes available, and processes killed because it ran out."""

from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")  # a container sees its own group here
PROC = Path("/proc")


def available_bytes(proc: Path = PROC, cgroup: Path = CGROUP) -> int | None:
    """Return the bytes available on the machine and within this container's limit; None if unknown."""
    meminfo = _read_table(proc / "meminfo")
    free = [meminfo["MemAvailable:"] * 1024] if "MemAvailable:" in meminfo else []
    limit, used = _read_number(cgroup / "memory.max"), _read_number(cgroup / "memory.current")
    if limit is not None and used is not None:
        free.append(max(0, limit - used + _read_table(cgroup / "memory.stat").get("inactive_file", 0)))
    return min(free, default=None)


def oom_kills(proc: Path = PROC, cgroup: Path = CGROUP) -> int:
    """Return how many processes the kernel has killed for lack of memory, in this container or on this machine."""
    return max(_read_table(path).get("oom_kill", 0) for path in (cgroup / "memory.events", proc / "vmstat"))


def _read_table(path: Path) -> dict[str, int]:
    """Return the lines that consist of a name and a number."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}


def _read_number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # "max": no limit
