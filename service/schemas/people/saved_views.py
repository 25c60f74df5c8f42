"""Saved views of the page, and reports, which are comparisons with a text."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from service.schemas.common import Utc, View
from service.spec.component import Part
from service.spec.experiment import NewName
from service.spec.text import normalise

MAX_TEXT = 20_000  # characters, as `document.TEXTS` allows
MAX_QUERY = 17_000  # characters: 500 ids and what is asked about them

Place = Literal["experiments", "compare"]
Query = Annotated[
    str,
    Field(
        max_length=MAX_QUERY,
        pattern=r"^[!-~]*$",
        description="what stands after the `?` of the page's address, percent-encoded",
    ),
]
Text = Annotated[
    str,
    Field(
        max_length=MAX_TEXT,
        pattern=r"^[^\x00]*$",
        description="Markdown. In a report, `{ranking}`, `{curves}`, `{differences}` and `{comparability}` on lines of"
        " their own stand for those parts of the comparison",
    ),
    AfterValidator(normalise),
]


class NewView(Part):
    """A view to save."""

    place: Place = Field(description="the page that it opens")
    name: NewName
    query: Query = ""
    text: Text = ""


class ViewChanges(Part):
    """What changes of a view; what is left out stays."""

    name: NewName | None = None
    query: Query | None = None
    text: Text | None = None


class SavedViewItem(View):
    """A view in a list."""

    id: str
    place: Place
    name: str
    query: str
    owner: str
    created_at: Utc
    edited_at: Utc | None


class SavedView(SavedViewItem):
    """A view with its text."""

    text: str = Field(description="Markdown as it was written; a page shows it as text, code, lists and links only")
    own: bool = Field(description="saved by who asks, who may change it as admins may")
