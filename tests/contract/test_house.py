"""Rules of the house that a program can check: sizes of folders and functions, and what the API's modules know."""

from pathlib import Path

import pytest

from tests.house import LONG, PRODUCT, Module, crowded, modules, without_fastapi

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def sources() -> list[Module]:
    return [module for package in PRODUCT for module in modules(ROOT, package)]


def test_no_folder_is_crowded(sources: list[Module]) -> None:
    assert len(sources) > 400
    assert crowded([*sources, *modules(ROOT, "tests")]) == {}


def test_every_module_of_the_api_knows_fastapi(sources: list[Module]) -> None:
    assert without_fastapi(sources) == []


def test_every_function_fits_on_a_screen(sources: list[Module]) -> None:
    assert [str(module.path) for module in sources if max(module.functions, default=0) > LONG] == []
