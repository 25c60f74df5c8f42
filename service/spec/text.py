"""Names and other short texts from people: one normal form, and no invisible characters.

Only the standard library is used, because the command line imports this too.
"""

import re
import unicodedata

# control, format (bidi, zero width), surrogate, private, unassigned, line and paragraph separators
HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
ZWNJ, ZWJ = "\u200c", "\u200d"  # zero-width non-joiner and joiner
# Scripts whose spelling needs joiners, each as the first word of its characters' Unicode names.
CURSIVE = frozenset({"ARABIC", "SYRIAC", "MONGOLIAN", "NKO", "ADLAM"})
INDIC = frozenset(
    {
        *("DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "ORIYA", "TAMIL", "TELUGU", "KANNADA", "MALAYALAM"),
        *("SINHALA", "KHMER", "MYANMAR", "TIBETAN"),
    }
)
FLAG = re.compile("\U0001f3f4([\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f)")  # of a region (UTS 51)
MODIFIER = re.compile("[\ufe0e\ufe0f\u20e3\U0001f3fb-\U0001f3ff]")  # of an emoji: its presentation or skin tone
BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and symbols that draw nothing


def normalise(text: str) -> str:
    """Return the form in which texts are stored and compared: NFC, so that equal spellings are equal texts."""
    return unicodedata.normalize("NFC", text)


def hidden_positions(text: str) -> list[int]:
    """Return the positions of invisible characters that no script or emoji needs there."""
    if text.isascii() and text.isprintable():
        return []
    tags = {at for flag in FLAG.finditer(text) for at in range(*flag.span(1))}
    return [
        at
        for at, character in enumerate(text)
        if unicodedata.category(character) in HIDDEN
        and at not in tags
        and not _new_symbol(character)
        and not _joins(text, at)
    ]


def is_visible(text: str) -> bool:
    """Return whether anything of `text` is visible: blanks and marks alone are no name."""
    return any(
        (unicodedata.category(c)[0] in "LNPS" and c not in BLANK and not MODIFIER.match(c)) or _new_symbol(c)
        for c in text
    )


def clean_name(text: str) -> str:
    """Return the normal form without blanks at its ends; raise `ValueError` for invisible characters."""
    if bad := sorted({f"U+{ord(text[at]):04X}" for at in hidden_positions(text)}):
        raise ValueError(f"has characters that cannot be seen ({', '.join(bad[:5])}): remove them")
    return normalise(text).strip()


def visible_name(text: str) -> str:
    """Return `text`; raise `ValueError` if nothing of it is visible."""
    if not is_visible(text):
        raise ValueError(BLANK_NAME)
    return text


BLANK_NAME = "has nothing but blanks: write at least one letter, digit or sign"


def _new_symbol(character: str) -> bool:
    """Return whether it is, or may become, an emoji or ideograph newer than this Python's Unicode."""
    code = ord(character)
    reserved = 0x1F000 <= code <= 0x1FAFF or 0x1FC00 <= code <= 0x1FFFD or 0x20000 <= code <= 0x323AF
    return reserved and unicodedata.category(character) == "Cn"


def _joins(text: str, at: int) -> bool:
    """Return whether the joiner at this position belongs to a word of a script that needs it, or to an emoji."""
    character, before, after = text[at], text[max(at - 8, 0) : at], text[at + 1 : at + 2]
    if character not in (ZWNJ, ZWJ) or not before:
        return False
    script, following = _script(before[-1]), _script(after)
    if character == ZWNJ:  # it separates two letters, or a virama and the next consonant
        return script == following and script in CURSIVE | INDIC
    if script in CURSIVE | INDIC:  # asks for a joined form, also at the end of a word
        return True
    return _symbol(MODIFIER.sub("", before)[-1:]) and _symbol(after)


def _script(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0] if character else ""


def _symbol(character: str) -> bool:
    """Return whether it can be part of an emoji sequence."""
    return bool(character) and (unicodedata.category(character) in ("So", "Sm") or _new_symbol(character))
