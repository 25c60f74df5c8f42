"""What this worker has of what a spec can need: optional packages and plug-ins with their versions, a C++ compiler.

Read off the installed packages' metadata: nothing is imported, so no torch.
"""

import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version

from service.spec import requirements
from service.spec.catalog import CATALOG


def installed() -> dict[str, str]:
    """Name -> version of each; of the compiler its path."""
    needed = {
        package for kinds in CATALOG.values() for kind in kinds.values() for package in requirements.packages_of(kind)
    }
    found = {name: given for name in sorted(needed) if (given := _version(name))}
    compiler = shutil.which(os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++"))
    return found | ({requirements.COMPILER: compiler} if compiler else {})


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
