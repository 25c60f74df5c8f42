"""The reserve of the disk: a worker that could not save its run takes none."""

from service.settings import Settings
from service.storage.disk import free_bytes


def disk_problem(settings: Settings) -> str | None:
    """Return why no run may start for want of disk; None if there is enough."""
    free, reserve = free_bytes(settings.data_dir), settings.disk_reserve_bytes
    if free >= reserve:
        return None
    return (
        f"{free / 2**20:,.0f} MiB are free in {settings.data_dir}, and {reserve / 2**20:,.0f} are the reserve:"
        " free some of the disk, or lower SADDLE_DISK_RESERVE_BYTES"
    )
