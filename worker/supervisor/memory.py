"""This machine's memory as Linux tells it: whether there is room, and whether the kernel killed for want of it."""

from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")  # a container sees its own group here
PROC = Path("/proc")


def available_bytes(proc: Path = PROC, cgroup: Path = CGROUP) -> int | None:
    """What could still be used, by the machine and by this container's limit; None where nobody says."""
    facts = _table(proc / "meminfo")
    free = [facts["MemAvailable:"] * 1024] if "MemAvailable:" in facts else []
    limit, used = _number(cgroup / "memory.max"), _number(cgroup / "memory.current")
    if limit is not None and used is not None:
        free.append(max(0, limit - used + _table(cgroup / "memory.stat").get("inactive_file", 0)))
    return min(free, default=None)


def oom_kills(proc: Path = PROC, cgroup: Path = CGROUP) -> int:
    """How many processes the kernel has killed for want of memory, in this container or else on this machine."""
    return max(_table(path).get("oom_kill", 0) for path in (cgroup / "memory.events", proc / "vmstat"))


def _table(path: Path) -> dict[str, int]:
    """Lines of a name and a number."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # "max": no limit
