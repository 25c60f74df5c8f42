"""The optional packages, plug-ins and C++ compiler that this worker has, read from metadata without importing them."""

import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version

from service.spec import requirements
from service.spec.catalog import CATALOG


def installed_packages() -> dict[str, str]:
    """Return name -> version; for the compiler its path."""
    needs = {need for kinds in CATALOG.values() for kind in kinds.values() for need in requirements.packages_of(kind)}
    needed = {need.partition("==")[0] for need in needs}
    versions = {name: found for name in sorted(needed) if (found := package_version(name))}
    compiler = shutil.which(os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++"))
    return versions | ({requirements.COMPILER: compiler} if compiler else {})


def package_version(package: str) -> str | None:
    """Return the version of a package, or None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
