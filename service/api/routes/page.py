"""Routes of the web page: the files of `service/web`, each read and compressed once."""

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as PathParameter

from service.api.content_negotiation import accepts_gzip, matches_etag
from service.errors import NotFound

router = APIRouter(tags=["service"])
Name = Annotated[str, PathParameter(pattern=r"^[A-Za-z0-9_./-]{1,100}$", description="path within the page's folder")]
Version = Annotated[
    str | None, Query(max_length=64, description="of the content; with the right one the file never changes")
]
FOLDER = Path(__file__).resolve().parents[2] / "web"
LIBRARY = re.compile(rb'(["/])(vendor/[a-z-]+[.](?:js|css))(")')  # as index.html and modules name one
VERSION_LENGTH = 16  # hexadecimal digits of the content's SHA-256
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
    version: str  # part of the addresses of libraries, which browsers keep for good


@lru_cache(maxsize=1)
def page_files() -> dict[str, PageFile]:
    """Return every file that is served, by its path within the folder."""
    found = (path for path in FOLDER.rglob("*") if path.suffix in TYPES and path.is_file())
    return {path.relative_to(FOLDER).as_posix(): _read(path) for path in found}


def _read(path: Path) -> PageFile:
    plain = LIBRARY.sub(_with_version, path.read_bytes())
    digest = _digest(plain)
    etag = f'W/"{digest[:32]}"'  # weak, because the compressed body has other bytes
    return PageFile(TYPES[path.suffix], plain, gzip.compress(plain, mtime=0), etag, digest[:VERSION_LENGTH])


def _with_version(found: re.Match[bytes]) -> bytes:
    """Return the address of a library with its version, so that a new release of it has another address."""
    version = _digest((FOLDER / found[2].decode()).read_bytes())[:VERSION_LENGTH]
    return b"%s?v=%s%s" % (found[1] + found[2], version.encode(), found[3])


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@router.get("/", operation_id="get_page", response_class=Response, responses=_text_response("text/html", "The page."))
def get_page(request: Request) -> Response:
    """Return the page."""
    return _file_response(request, "index.html")


@router.get(
    "/page/{name:path}",
    operation_id="get_page_part",
    response_class=Response,
    responses=_text_response("text/plain", "The file, with its own media type."),
)
def get_page_part(request: Request, name: Name, v: Version = None) -> Response:
    """Return a script, a style sheet or a licence of the page."""
    return _file_response(request, name, v)


def _file_response(request: Request, name: str, version: str | None = None) -> Response:
    """Return the file, compressed if the client accepts gzip; 304 if the client has it."""
    file = page_files().get(name)
    if file is None:
        raise NotFound("The page has no such file.")
    caching = FOREVER if version == file.version else REVALIDATE
    headers = {"ETag": file.etag, "Cache-Control": caching, "Vary": "Accept-Encoding"}
    if matches_etag(request.headers.get("if-none-match"), file.etag):
        return Response(status_code=304, headers=headers)
    if accepts_gzip(request.headers):
        return Response(file.packed, media_type=file.media_type, headers={**headers, "Content-Encoding": "gzip"})
    return Response(file.plain, media_type=file.media_type, headers=headers)
