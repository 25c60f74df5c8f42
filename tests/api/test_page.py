"""The page's files, signing in, and what a browser may be made to do."""

import gzip
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.api.routes import page
from service.api.routes.page import FOLDER

VENDOR = FOLDER / "vendor"


def test_the_page_asks_nobody_else(open_house: TestClient) -> None:
    index = open_house.get("/")
    assert index.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in index.headers["content-security-policy"]
    asked = re.findall(r'(?:src|href)="([^"]+)"', index.text)
    assert asked
    for path in asked:
        assert path.startswith("page/")
        assert open_house.get(path).status_code == 200
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", index.text), "the policy forbids anything inline"


def test_every_module_imports_what_is_there() -> None:
    for path in FOLDER.rglob("*.js"):
        if path.parent != VENDOR:
            for imported in re.findall(r'from "([^"]+)"', path.read_text()):
                assert imported.startswith("."), f"{path.name} asks for {imported}"
                assert (path.parent / imported).resolve().is_file(), f"{path.name}: {imported}"


def test_what_others_wrote_is_as_they_wrote_it_and_has_its_licence() -> None:
    listed = dict(line.split("  ")[::-1] for line in (VENDOR / "SHA256SUMS").read_text().splitlines())
    assert set(listed) == {path.name for path in VENDOR.iterdir()} - {"SHA256SUMS"}
    for name, digest in listed.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name
    assert {"htm.LICENSE", "preact.LICENSE", "uplot.LICENSE"} <= set(listed)


def needed_by(module: Path) -> set[Path]:
    """Return the module and what it imports, directly or not, before it runs."""
    found, open_ones = set[Path](), [module.resolve()]
    while open_ones:
        each = open_ones.pop()
        if each not in found:
            found.add(each)
            asked = re.findall(r'\bfrom "([^"]+)"', each.read_text())
            open_ones += [(each.parent / path).resolve() for path in asked]
    return found


def packed(scripts: set[Path]) -> int:
    """Return the bytes of the scripts, each packed by itself."""
    return sum(len(gzip.compress(path.read_bytes())) for path in scripts)


def test_no_view_takes_many_scripts_in_either_language() -> None:
    """A view loads its own, the frame's, uPlot and one language; the others come when nothing else is to be done."""
    views = re.findall(r'import\("(./views/[^"]+)"\)', (FOLDER / "app.js").read_text())
    assert len(views) > 10
    for language in ("en", "zh"):
        words = needed_by(FOLDER / "lib" / f"words.{language}.js")
        frame = needed_by(FOLDER / "app.js") | words | {(VENDOR / "uplot.js").resolve()}
        for view in views:
            assert packed(frame | needed_by(FOLDER / view)) <= 170_000, (view, language)
    assert packed({*FOLDER.rglob("*.js")}) <= 240_000, "all together, in both languages"


def test_a_part_is_packed_and_not_sent_again_to_whoever_has_it(open_house: TestClient) -> None:
    first = open_house.get("/page/vendor/uplot.js")
    assert first.headers["content-encoding"] == "gzip"
    assert first.content == (VENDOR / "uplot.js").read_bytes()
    again = open_house.get("/page/vendor/uplot.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    plain = open_house.get("/page/vendor/uplot.js", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers


@pytest.mark.parametrize(
    "name", ["../__init__.py", "%2e%2e/__init__.py", "__init__.py", "vendor", "", "vendor/SHA256SUMS"]
)
def test_nothing_else_is_served(open_house: TestClient, name: str) -> None:
    assert open_house.get(f"/page/{name}").status_code in (401, 404, 422)


@pytest.fixture
def browser(open_house: TestClient) -> Iterator[TestClient]:
    """A client with a cookie jar of its own."""
    with TestClient(open_house.app, raise_server_exceptions=False) as client:
        yield client


def test_signing_in_keeps_a_session_where_no_script_reads_it(browser: TestClient, shared_key: str) -> None:
    answer = browser.post("/v1/session", json={"key": shared_key})
    assert answer.json()["member"]
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie
    assert shared_key.partition(".")[2] not in cookie
    assert browser.get("/v1/me").json() == answer.json()
    assert browser.delete("/v1/session", headers={"Origin": "http://testserver"}).status_code == 200
    assert browser.get("/v1/me").status_code == 401


def test_behind_tls_the_cookie_never_travels_in_the_open(browser: TestClient, shared_key: str) -> None:
    address, headers = "https://testserver/v1/session", {"Origin": "https://testserver"}
    assert "Secure" in browser.post(address, json={"key": shared_key}, headers=headers).headers["set-cookie"]


def test_a_wrong_key_signs_nobody_in(browser: TestClient) -> None:
    answer = browser.post("/v1/session", json={"key": "key_00000000000000000000000000.x"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/key"
    assert "set-cookie" not in answer.headers


def cookie_of(open_house: TestClient, key: str) -> str:
    with TestClient(open_house.app) as client:
        return str(client.post("/v1/session", json={"key": key}).headers["set-cookie"].partition(";")[0])


OTHERS = ["http://evil.example", "null", None, "", "http://testserver.evil.example", "http://testserver:8080"]


@pytest.mark.parametrize("origin", [*OTHERS, "https://testserver", "//testserver", "http://testserver:x"])
def test_another_sites_page_changes_nothing_with_our_cookie(
    open_house: TestClient, shared_key: str, origin: str | None
) -> None:
    headers = {"Cookie": cookie_of(open_house, shared_key)} | ({} if origin is None else {"Origin": origin})
    for method, path in (("POST", "/v1/experiments"), ("DELETE", "/v1/session"), ("PATCH", "/v1/runs/x")):
        answer = open_house.request(method, path, headers=headers, json={})
        assert answer.status_code == 403, path
        assert answer.json()["code"] == "forbidden"


def test_a_page_that_came_by_tls_is_told_of_a_proxy_that_is_not_trusted(browser: TestClient, shared_key: str) -> None:
    answer = browser.post("/v1/session", json={"key": shared_key}, headers={"Origin": "https://testserver"})
    assert (answer.status_code, "SADDLE_TRUSTED_PROXIES" in answer.json()["detail"]) == (403, True)


@pytest.mark.parametrize("origin", ["http://testserver", "http://TestServer:80"])
def test_our_own_page_may(open_house: TestClient, shared_key: str, origin: str) -> None:
    headers = {"Cookie": cookie_of(open_house, shared_key), "Origin": origin}
    assert open_house.post("/v1/experiments", json={}, headers=headers).status_code == 422


def test_browsers_keep_all_files_by_their_version_and_ask_again_for_the_page_alone(open_house: TestClient) -> None:
    addresses = re.findall(r'(?:src|href)="(page/([^"/]+)/([^"]+))"', open_house.get("/").text)
    assert {"app.js", "style.css", "vendor/uplot.js"} <= {name for _, _, name in addresses}
    for address, version, name in addresses:
        kept = open_house.get(f"/{address}")
        assert kept.headers["Cache-Control"] == "public, max-age=31536000, immutable", name
        assert kept.content == (FOLDER / name).read_bytes()
        other = open_house.get(f"/page/{'0' * len(version)}/{name}")
        assert other.headers["Cache-Control"] == "no-cache", "not its version"
        assert open_house.get(f"/page/{name}").headers["Cache-Control"] == "no-cache"
    assert open_house.get("/").headers["Cache-Control"] == "no-cache"


def test_the_version_changes_with_any_file(monkeypatch: pytest.MonkeyPatch) -> None:
    before = page.page_version()
    changed = dict(page.page_files()) | {"lib/ticks.js": page.page_files()["lib/axes.js"]}
    monkeypatch.setattr(page, "page_files", lambda: changed)
    assert page.page_version.__wrapped__() != before


def test_data_is_stored_nowhere_and_https_stays_https(shared: TestClient) -> None:
    for path in ("/v1/me", "/v1/experiments", "/v1/nowhere"):
        answer = shared.get(path)
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert "Strict-Transport-Security" not in answer.headers
        assert shared.get(f"https://testserver{path}").headers["Strict-Transport-Security"] == "max-age=31536000"
