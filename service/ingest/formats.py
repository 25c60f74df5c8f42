"""Which format a file has, by its content, with a hint from its name or the request; and texts, in pieces."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from service.ingest.images.archive import is_image_archive
from service.ingest.tokenizer_files.report import is_tokenizer
from service.ingest.validation import invalid_file
from service.ingest.weights.report import is_weights
from service.spec.datasets.report import Format

MAGIC: dict[bytes, Format] = {b"PAR1": "parquet", b"PK\x03\x04": "npz"}
PICKLE = "a pickle, which runs code when it is read: save numbers, as NPZ or Parquet"
UTF16 = "in UTF-16: save it in UTF-8"
TOKENS = "binary: files of tokens (train.bin) are read from the mounted folder, by the dataset kind token_files"
REFUSED = {
    **dict.fromkeys((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), PICKLE),
    b"\x93NUMPY": "a single array: save it and its targets together with numpy.savez",
    b"\x1f\x8b": "compressed with gzip: send it unpacked",
    b"BZh": "compressed with bzip2: send it unpacked",
    b"\xfd7zXZ": "compressed with xz: send it unpacked",
    b"\x28\xb5\x2f\xfd": "compressed with zstandard: send it unpacked",
    b"ARROW1": "an Arrow file: save it as Parquet",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save the sheet as CSV (UTF-8) and upload that",
    **dict.fromkeys((b"\xff\xfe", b"\xfe\xff"), UTF16),
}
PIECE_BYTES = 2**20
BOM = codecs.BOM_UTF8


def detect_format(path: Path, declared: Format | None, name: str = "") -> Format:
    """Return the file's format, or raise `Invalid` where it is none of ours or not the declared one."""
    with path.open("rb") as file:
        head = file.read(4096)
    if not head:
        raise invalid_file("empty", "the file is empty.")
    for magic, what in REFUSED.items():
        if head.startswith(magic):
            raise invalid_file("wrong_format", f"the file is {what}.")
    found = next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), None)
    if found is None and is_weights(head):
        found = "safetensors"
    if found is None:
        if declared in ("parquet", "npz", "images", "safetensors"):
            raise invalid_file("wrong_format", f"the file does not begin as {declared} does.")
        check_text(path, name)
        found = declared or _guess_text_format(head, name)
    if found == "npz" and is_image_archive(path):
        found = "images"
    if declared not in (None, found):
        raise invalid_file("wrong_format", f"the file is {found}, not {declared}.")
    return found


def is_binary(path: Path) -> bool:
    """Whether the file is in a format whose content may be far larger than the file."""
    with path.open("rb") as file:
        return file.read(4).startswith(tuple(MAGIC))


def _guess_text_format(head: bytes, name: str) -> Format:
    """Return the format of a text file: JSON begins with a brace or a bracket; a plain text is known by its name."""
    if is_tokenizer(head.removeprefix(BOM)):
        return "tokenizer"
    beginning = head.removeprefix(BOM).lstrip()[:1]
    if beginning in (b"{", b"["):
        return "jsonl" if beginning == b"{" else "json"
    return "text" if name.lower().endswith((".txt", ".md")) else "csv"


def check_text(path: Path, name: str = "") -> None:
    """Raise `Invalid` unless the file is UTF-8 to its end, without NUL; its name tells what it may be instead."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        while True:
            start = file.tell()
            piece = file.read(PIECE_BYTES)
            if (at := piece.find(b"\x00")) >= 0:
                what = UTF16 if _is_utf16(path) else "no text: save the table as CSV, JSON, Parquet or NPZ"
                what = TOKENS if name.lower().endswith(".bin") else what
                raise invalid_file("not_text", f"byte {start + at} is NUL: the file is {what}.")
            try:
                decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                at = max(start - len(error.object) + len(piece) + error.start, 0)
                where = f"byte {at}, in line {_line_of(path, at)},"
                advice = 'save the file in UTF-8 (in Excel: "CSV UTF-8", in pandas: the default)'
                raise invalid_file("not_utf8", f"{where} is not UTF-8: {advice}.") from None
            if not piece:
                return


def _line_of(path: Path, at: int) -> int:
    """Return the line, from 1, that a byte is in; lines end as on Unix or Windows."""
    with path.open("rb") as file:
        return 1 + sum(file.read(min(PIECE_BYTES, at - done)).count(b"\n") for done in range(0, at, PIECE_BYTES))


def _is_utf16(path: Path) -> bool:
    """Whether the file begins as a Latin text in UTF-16 without a byte order mark does: every other byte is NUL."""
    with path.open("rb") as file:
        head = file.read(64)
    pairs = {head[at::2].count(0) for at in (0, 1)}
    return pairs == {0, len(head) // 2}


def read_text(path: Path) -> Iterator[str]:
    """Yield a text in pieces, without its byte order mark; every line end is one character."""
    with path.open(encoding="utf-8-sig", errors="strict") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece
