"""Routes of the web page: the files of `service/web`, each read and compressed once."""

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi import Path as PathParameter

from service.api.content_negotiation import accepts_gzip, matches_etag
from service.errors import NotFound

router = APIRouter(tags=["service"])
Name = Annotated[str, PathParameter(pattern=r"^[A-Za-z0-9_./-]{1,100}$", description="path within the page's folder")]
FOLDER = Path(__file__).resolve().parents[2] / "web"
ADDRESS = re.compile(rb'(?<="page)/')  # where index.html names a file
VERSION_LENGTH = 16  # hexadecimal digits of the SHA-256 of all files
VERSIONED = re.compile(rf"(?:([0-9a-f]{{{VERSION_LENGTH}}})/)?(.*)")
FOREVER, REVALIDATE = "public, max-age=31536000, immutable", "no-cache"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain; charset=utf-8",
}


def _text_response(media_type: str, description: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {media_type: {"schema": {"type": "string"}}}, "description": description}}


@dataclass(frozen=True)
class PageFile:
    """A file as it is sent."""

    media_type: str
    plain: bytes
    packed: bytes
    etag: str


@cache
def page_files() -> dict[str, PageFile]:
    """Return every file that is served, by its path within the folder."""
    found = sorted(path for path in FOLDER.rglob("*") if path.suffix in TYPES and path.is_file())
    return {path.relative_to(FOLDER).as_posix(): _read(path) for path in found}


@cache
def page_version() -> str:
    """Return the folder in the address of every file, which names their content.

    Modules import each other by relative addresses, so all come from this folder, and browsers keep them for good.
    """
    found = page_files()
    return _digest("".join(f"{name} {found[name].etag}\n" for name in found).encode())[:VERSION_LENGTH]


@cache
def _index() -> PageFile:
    version = page_version().encode()
    return _packed(".html", ADDRESS.sub(b"/%s/" % version, page_files()["index.html"].plain))


def _read(path: Path) -> PageFile:
    return _packed(path.suffix, path.read_bytes())


def _packed(suffix: str, plain: bytes) -> PageFile:
    etag = f'W/"{_digest(plain)[:32]}"'  # weak, because the compressed body has other bytes
    return PageFile(TYPES[suffix], plain, gzip.compress(plain, mtime=0), etag)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@router.get("/", operation_id="get_page", response_class=Response, responses=_text_response("text/html", "The page."))
def get_page(request: Request) -> Response:
    """Return the page."""
    return _file_response(request, _index(), REVALIDATE)


@router.get(
    "/page/{name:path}",
    operation_id="get_page_part",
    response_class=Response,
    responses=_text_response("text/plain", "The file, with its own media type."),
)
def get_page_part(request: Request, name: Name) -> Response:
    """Return a script, a style sheet or a licence of the page; from the folder of its version it never changes."""
    found = VERSIONED.fullmatch(name)
    file = page_files().get(found[2]) if found else None
    if found is None or file is None:
        raise NotFound("The page has no such file.")
    return _file_response(request, file, FOREVER if found[1] == page_version() else REVALIDATE)


def _file_response(request: Request, file: PageFile, caching: str) -> Response:
    """Return the file, compressed if the client accepts gzip; 304 if the client has it."""
    headers = {"ETag": file.etag, "Cache-Control": caching, "Vary": "Accept-Encoding"}
    if matches_etag(request.headers.get("if-none-match"), file.etag):
        return Response(status_code=304, headers=headers)
    if accepts_gzip(request.headers):
        return Response(file.packed, media_type=file.media_type, headers={**headers, "Content-Encoding": "gzip"})
    return Response(file.plain, media_type=file.media_type, headers=headers)
