"""Tokenizers of the library `tokenizers`, as their files are uploaded: learned from a text in a second."""

import json
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

END = "<|end of text|>"


def byte_level(text: str, vocabulary: int = 300) -> Tokenizer:
    """Like GPT-2's, and set to cut and fill texts, as files from fine-tuning are."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([text], trainer)
    made.enable_truncation(16)
    made.enable_padding(length=16)
    return made


def sentence_pieces(text: str, vocabulary: int = 330) -> Tokenizer:
    """Like Llama's: blanks are a character, and characters without a token are bytes."""
    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    strip = decoders.Strip(content=" ", left=1, right=0)
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), strip])
    special = ["<unk>", "<s>", "</s>", *(f"<0x{value:02X}>" for value in range(256))]
    latin = "".join(each for each in text if ord(each) < 128 and each != "\n")
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=special, max_token_length=8, show_progress=False
    )
    made.train_from_iterator([latin[:2000]], trainer)
    document = json.loads(made.to_str())
    document["added_tokens"] = document["added_tokens"][:3]  # bytes are tokens of the model
    return Tokenizer.from_str(json.dumps(document))


def word_pieces(text: str, vocabulary: int = 120) -> Tokenizer:
    """Like BERT's: case and blanks are lost, and a text is put between two tokens."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=vocabulary, special_tokens=["[UNK]", "[CLS]"], show_progress=False)
    made.train_from_iterator([text], trainer)
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [CLS]", special_tokens=[("[CLS]", made.token_to_id("[CLS]"))]
    )
    return made


def document_of(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return what its file holds."""
    found: dict[str, Any] = json.loads(tokenizer.to_str())
    return found
