"""What identifies the rows of a stored dataset, in the hash of a spec and where two are compared."""

from service.spec.component import Json

ADDED_TO_DATASETS: Json = {  # not hashed at their default, so that a spec from before these fields keeps its hash
    **{"shuffled_targets": 0.0, "missing": "refuse", "split": {"kind": "random"}, "prepare": []},
    **{"prepare_target": None, "weights": None},
    **{"tokens": {"kind": "characters"}, "windows": "consecutive", "folds": None},
}
SHARES = {"kind": "shares"}  # the split of texts at its default, likewise
ADDED_TO_RESOLVED: Json = {  # likewise
    **{"reading": {"rules": 1, "header": True}, "test": 0, "dropped": 0, "aside": [], "validation": 0},
    **{"split": None, "files": [], "columns": [], "inputs": 0, "tokenized": None, "coded": []},
}
ADDED_TO_TOKENIZED: Json = {"lossless": True}  # likewise
REMARKS = {"coarse", "untrained"}  # fields of a resolved dataset that only warn


def data_identity(dataset: Json) -> Json:
    """Return what identifies a stored dataset's rows: no fields added later at their default, and no remarks."""
    document = _without(dataset, ADDED_TO_DATASETS)
    if document.get("split") == SHARES:
        del document["split"]
    tokens = document.pop("tokens", None)  # null, of files of tokens, was added later
    if tokens is not None:  # which upload a tokenizer was makes no difference
        found = tokens.get("resolved")
        document["tokens"] = {"kind": tokens["kind"], "sha256": found["sha256"]} if found else tokens
    if isinstance(resolved := document.get("resolved"), dict):
        left = _without(resolved, ADDED_TO_RESOLVED)
        if isinstance(tokenized := left.get("tokenized"), dict):
            left["tokenized"] = _without(tokenized, ADDED_TO_TOKENIZED)
        document["resolved"] = {name: value for name, value in left.items() if name not in REMARKS}
    return document


def _without(part: Json, added: Json) -> Json:
    return {name: value for name, value in part.items() if value != added.get(name, ...)}
