"""The hash of a plug-in's code: one that was installed again in the same version is another one."""

import hashlib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path

LARGEST = 2**24  # bytes of a file that is read; a larger one counts by its size
LEFT_OUT = (".pyc", ".pth")  # made by Python and by installers, which write folders of this machine into them


def code_digest(point: EntryPoint) -> str:
    """Return the sha256 of names and contents of the files that belong to the package of an entry point."""
    digest = hashlib.sha256()
    for name, path in sorted({**_recorded(point), **_imported(point)}.items()):
        size = path.stat().st_size
        digest.update(f"{name}\0{size}\0".encode())
        if size <= LARGEST:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _recorded(point: EntryPoint) -> dict[str, Path]:
    """Return the files that the installer recorded, by name; of an installation for editing none is code."""
    files = (point.dist.files if point.dist else None) or ()
    code = [each for each in files if ".." not in each.parts and not each.parts[0].endswith((".dist-info", ".data"))]
    found = {each.as_posix(): Path(str(each.locate())) for each in code if not each.name.startswith("__editable__")}
    return {name: path for name, path in found.items() if path.suffix not in LEFT_OUT and path.is_file()}


def _imported(point: EntryPoint) -> dict[str, Path]:
    """Return the files of the package or module that holds the class, by name."""
    top = point.module.partition(".")[0]
    found = find_spec(top)
    if found is None:
        return {}
    if found.submodule_search_locations is None:
        return {Path(found.origin).name: Path(found.origin)} if found.origin else {}
    return {f"{top}/{name}": path for folder in found.submodule_search_locations for name, path in _below(Path(folder))}


def _below(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix not in LEFT_OUT:
            yield path.relative_to(folder).as_posix(), path
