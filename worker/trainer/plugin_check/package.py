"""The package that is checked: a folder with a pyproject.toml, or the name of an installed one."""

import tomllib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from service.errors import SaddleError
from service.spec.plugins import GROUP

HINT = f'pyproject.toml needs [project.entry-points."{GROUP}"] with lines like "model.mine" = "my_package.models:Mine"'


class CannotCheck(SaddleError):
    """There is no package to check."""


@dataclass(frozen=True)
class Package:
    """A package; `folders` are to be put first on Python's path, and are none of an installed one."""

    name: str
    version: str
    folders: tuple[Path, ...] = ()


def find_package(target: str, scratch: Path) -> Package:
    """Return the package at the path or of the name `target`; raise `CannotCheck` if there is none.

    What pip would write about a folder that is not installed is put into `scratch`.
    """
    if Path(target).is_dir():
        return _in_folder(Path(target).resolve(), scratch)
    try:
        found = distribution(target)
    except (PackageNotFoundError, ValueError) as error:
        raise CannotCheck(f"there is neither a folder nor an installed package {target!r}") from error
    if not found.entry_points.select(group=GROUP):
        raise CannotCheck(f"the package {found.name} offers no component: its {HINT}")
    return Package(found.name, found.version)


def _in_folder(folder: Path, scratch: Path) -> Package:
    try:
        project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        name = str(project["name"])
    except FileNotFoundError as error:
        raise CannotCheck(f"{folder} has no pyproject.toml: give the folder of a package") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CannotCheck(f"{folder / 'pyproject.toml'} is not TOML: {error}") from error
    except KeyError as error:
        raise CannotCheck(f"{folder / 'pyproject.toml'} has no [project] with a name") from error
    points = project.get("entry-points", {}).get(GROUP)
    if not isinstance(points, dict) or not points:
        raise CannotCheck(f"{name} offers no component: its {HINT}")
    version = str(project.get("version", "0"))
    facts = scratch / f"{name.replace('-', '_')}-{version}.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"[{GROUP}]", *(f"{point} = {value}" for point, value in points.items()), ""]
    (facts / "entry_points.txt").write_text("\n".join(lines))
    return Package(name, version, (scratch, folder / "src" if (folder / "src").is_dir() else folder))
