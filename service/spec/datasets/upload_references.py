"""Which uploads a spec names: one list of places, for whoever deletes, moves or fetches a file."""

from collections.abc import Mapping
from functools import reduce
from typing import Annotated, Any

from pydantic import Field

UploadId = Annotated[str, Field(pattern="^dat_[0-9a-hjkmnp-tv-z]{26}$", description="id of the upload")]
HOLDERS = (("dataset",), ("dataset", "tokens"), ("start",))  # parts of a spec whose `resolved` has hashes of files
PLACES = (  # of an upload's id in a spec; the hash of its file is in `resolved` of the holder that contains it
    ("dataset", "upload"),
    ("dataset", "tokens", "upload"),
    ("dataset", "split", "validation"),
    ("dataset", "split", "test"),
    ("start", "upload"),
)
PATHS = [f"{{{','.join(place)}}}" for place in PLACES]  # as Postgres takes them: spec #>> cast(path AS text[])


def hashes_of(spec: Mapping[str, Any]) -> list[str]:
    """Return the hashes of the files that a run of a stored spec reads."""
    parts = (reduce(lambda part, name: part.get(name) or {}, path, spec) for path in HOLDERS)
    found = [part["resolved"] for part in parts if part.get("upload")]
    return [str(file["sha256"]) for each in found for file in (each, *each.get("files", ()))]
