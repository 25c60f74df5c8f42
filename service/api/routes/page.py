"""Routes of the page: the files of service.web as they are written, each read and packed once."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi import Path as PathParameter

from service.api.content_negotiation import accepts_gzip, matches_etag
from service.errors import NotFound

router = APIRouter(tags=["service"])
Name = Annotated[str, PathParameter(pattern=r"^[A-Za-z0-9_./-]{1,100}$", description="within the page's folder")]
FOLDER = Path(__file__).resolve().parents[2] / "web"
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
    """One file as it is sent."""

    media_type: str
    plain: bytes
    packed: bytes
    etag: str


@lru_cache(maxsize=1)
def page_files() -> dict[str, PageFile]:
    """Every file that can be asked for, by its path inside the folder; whatever is not here is not there."""
    found = (path for path in FOLDER.rglob("*") if path.suffix in TYPES and path.is_file())
    return {path.relative_to(FOLDER).as_posix(): _read(path) for path in found}


def _read(path: Path) -> PageFile:
    plain = path.read_bytes()
    etag = f'W/"{hashlib.sha256(plain).hexdigest()[:32]}"'  # weak: packed or not, it is the same content
    return PageFile(TYPES[path.suffix], plain, gzip.compress(plain, mtime=0), etag)


@router.get("/", operation_id="get_page", response_class=Response, responses=_text_response("text/html", "The page."))
def get_page(request: Request) -> Response:
    """The page."""
    return _file_response(request, "index.html")


@router.get(
    "/page/{name:path}",
    operation_id="get_page_part",
    response_class=Response,
    responses=_text_response("text/plain", "The file; its type says what it is."),
)
def get_page_part(request: Request, name: Name) -> Response:
    """A script, a style sheet or a licence that belongs to the page."""
    return _file_response(request, name)


def _file_response(request: Request, name: str) -> Response:
    """The file, packed where the browser takes that; 304 where it has it."""
    file = page_files().get(name)
    if file is None:
        raise NotFound("The page has no such file.")
    headers = {"ETag": file.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if matches_etag(request.headers.get("if-none-match"), file.etag):
        return Response(status_code=304, headers=headers)
    if accepts_gzip(request.headers):
        return Response(file.packed, media_type=file.media_type, headers={**headers, "Content-Encoding": "gzip"})
    return Response(file.plain, media_type=file.media_type, headers=headers)
