"""Which uploads a spec names: one list of places, for whoever deletes, moves or fetches a file."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

UploadId = Annotated[str, Field(pattern="^dat_[0-9a-hjkmnp-tv-z]{26}$", description="id of the upload")]
PLACES = (  # of an upload's id in a spec; the hash of its file is in `resolved` of the dataset or of the start weights
    ("dataset", "upload"),
    ("dataset", "split", "validation"),
    ("dataset", "split", "test"),
    ("start", "upload"),
)
PATHS = [f"{{{','.join(place)}}}" for place in PLACES]  # as Postgres takes them: spec #>> cast(path AS text[])


def hashes_of(spec: Mapping[str, Any]) -> list[str]:
    """Return the hashes of the files that a run of a stored spec reads."""
    found = [part["resolved"] for name in ("dataset", "start") if (part := spec.get(name) or {}).get("upload")]
    return [str(file["sha256"]) for each in found for file in (each, *each.get("files", ()))]
