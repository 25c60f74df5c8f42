"""Comments on experiments and runs."""

from typing import Annotated

from pydantic import AfterValidator, Field

from service.schemas.common import Utc, View
from service.spec.component import Part
from service.spec.text import normalise

MAX_TEXT = 4096  # characters


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is blank: write something, or delete the comment")
    return text


Words = Annotated[
    str,
    Field(min_length=1, max_length=MAX_TEXT, pattern=r"^[^\x00]*$"),
    AfterValidator(normalise),
    AfterValidator(_not_blank),
]


class NewComment(Part):
    """A comment to write."""

    text: Words = Field(description="Markdown: paragraphs, code and links; @name tells a member")
    run_id: Annotated[str, Field(pattern="^run_[0-9a-hjkmnp-tv-z]{26}$")] | None = Field(
        None, description="the run of the experiment that it is about; null: the experiment"
    )


class EditedComment(Part):
    """A comment's new words."""

    text: Words = Field(description="in place of what it said")


class CommentView(View):
    """A comment."""

    id: str
    experiment_id: str
    run_id: str | None = Field(description="null: it is about the experiment as a whole")
    author: str
    text: str = Field(description="Markdown as it was written; a page shows it as text, code and links only")
    mentions: list[str] = Field(description="the members that it names with @")
    created_at: Utc
    edited_at: Utc | None
    own: bool = Field(description="written by who asks, who alone may change it")
