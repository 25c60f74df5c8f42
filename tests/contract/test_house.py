"""Rules of the house that a program can check: sizes of folders and functions, and what the API's modules know."""

from pathlib import Path

from tests.house import LONG, PRODUCT, crowded, modules, without_fastapi

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [module for package in PRODUCT for module in modules(ROOT, package)]


def test_no_folder_is_crowded() -> None:
    assert len(SOURCES) > 400
    assert crowded([*SOURCES, *modules(ROOT, "tests")]) == {}


def test_every_module_of_the_api_knows_fastapi() -> None:
    assert without_fastapi(SOURCES) == []


def test_every_function_fits_on_a_screen() -> None:
    assert [str(module.path) for module in SOURCES if max(module.functions, default=0) > LONG] == []
