"""Files that only the account that runs the product may read: passwords, keys, settings with a password."""

import os
import secrets
from pathlib import Path

from service.os_account import OsAccount

OWNER = OsAccount()


def write_private(path: Path, text: str, owner: OsAccount = OWNER) -> None:
    """Replace a file by one of mode 0600 that was never readable by others."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    owner.own(new)
    new.replace(path)


def new_password() -> str:
    """Return 192 random bits as hexadecimal digits, which need no quoting anywhere."""
    return secrets.token_hex(24)


def close_to_others(path: Path) -> None:
    """Take every right of group and others away from a file or folder of an earlier release."""
    if path.exists() and not path.is_symlink():
        path.chmod(path.stat().st_mode & 0o7700)
