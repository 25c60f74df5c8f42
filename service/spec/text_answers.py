"""What a language model can be asked of a text beside the next token, and how it draws the tokens that it writes."""

from typing import Annotated

from pydantic import Field

from service.spec.component import Count, Part


class Sampling(Part):
    """How many tokens are written, each drawn from what the model predicts."""

    length: Annotated[int, Field(ge=1, le=2000, description="tokens to write")] = 200
    temperature: Annotated[float, Field(ge=0, le=100)] = Field(
        0.8, description="above 1 flatter, below 1 sharper than the model's distribution; 0: the likeliest token"
    )
    top_k: Count | None = Field(None, description="draw among so many likeliest tokens; null: among all")


class Continuation(Sampling):
    """How a text goes on; the same request writes the same text."""

    seed: Annotated[int, Field(ge=0, le=2**31 - 1, description="another one draws other tokens")] = 0
