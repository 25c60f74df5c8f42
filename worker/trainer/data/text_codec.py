"""Text as tokens and back."""

from typing import Any, Protocol


class TextCodec(Protocol):
    """What writes a text as tokens, and reads tokens as a text."""

    document: str | None  # the tokenizer as the library `tokenizers` reads it; None: a table of characters
    is_text: bool  # whether the texts of tokens are known

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text; raise `ValueError` for a character without one."""
        ...

    def decode(self, tokens: list[int]) -> str:
        """Return the text of tokens."""
        ...


class CharacterCodec:
    """A token for each of these characters, in order."""

    document: str | None = None
    is_text = True

    def __init__(self, characters: str) -> None:
        self.characters = characters
        self._numbers = {character: number for number, character in enumerate(characters)}

    def encode(self, text: str) -> list[int]:
        """Return the numbers of the characters; raise `ValueError` for one that is none of them."""
        if unknown := set(text) - set(self._numbers):
            raise ValueError(f"the vocabulary has no {min(unknown)!r}")
        return [self._numbers[character] for character in text]

    def decode(self, tokens: list[int]) -> str:
        """Return the characters."""
        return "".join(self.characters[token] for token in tokens)


class NumberCodec:
    """Tokens whose texts nobody knows: the text is their numbers, each with a blank behind it."""

    document: str | None = None
    is_text = False

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = vocabulary

    def encode(self, text: str) -> list[int]:
        """Return the numbers; raise `ValueError` for a word that is no token."""
        for word in text.split():
            if not (word.isascii() and word.isdecimal() and int(word) < self.vocabulary):
                raise ValueError(f"{word[:20]!r} is no token: write numbers from 0 to {self.vocabulary - 1}")
        return [int(word) for word in text.split()]

    def decode(self, tokens: list[int]) -> str:
        """Return the numbers."""
        return "".join(f"{token} " for token in tokens)


class TokenizerCodec:
    """A tokenizer of the library `tokenizers`."""

    is_text = True

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.document: str | None = tokenizer.to_str(pretty=False)

    def encode(self, text: str) -> list[int]:
        """Return the tokens, without special ones around them."""
        found: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return found

    def decode(self, tokens: list[int]) -> str:
        """Return the text; bytes that are no UTF-8 become U+FFFD."""
        return str(self.tokenizer.decode(tokens, skip_special_tokens=False))


def continuation(codec: TextCodec, given: list[int], written: list[int]) -> str:
    """Return the text of tokens that follow others; some tokenizers leave out a blank that a text begins with."""
    whole, before = codec.decode([*given, *written]), codec.decode(given)
    return whole.removeprefix(before) if whole.startswith(before) else codec.decode(written)
