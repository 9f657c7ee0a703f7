"""Take texts out of a stored classifier: themselves, and the terms that none of the others contains."""

import io
import json
import zipfile
from typing import Any

import numpy as np

from apps.routing.wording import hash_text, same_wording


def redact(payload: bytes, hashes: set[str]) -> bytes | None:
    """Return the classifier without the texts of these hashes; None where it has learnt none of them."""
    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        header: dict[str, Any] = json.loads(arrays["header"].tobytes())
        texts: list[str] = header["example_texts"]
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile):
        return None  # unreadable: nothing routes by it, and nothing reads its words
    gone = [place for place, text in enumerate(texts) if hash_text(text) in hashes]
    if not gone:
        return None
    lost = " \n ".join(same_wording(texts[place]) for place in gone)
    header["example_texts"] = ["" if place in set(gone) else text for place, text in enumerate(texts)]
    others = " \n ".join(map(same_wording, header["example_texts"]))
    for name in ("words", "chars"):
        header[name] = [_blank(term, place, lost, others) for place, term in enumerate(header[name])]
    arrays["example_embeddings"][gone] = 0
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _blank(term: str, place: int, lost: str, others: str) -> str:
    """Replace a term by one that no text contains; its column stays, so that the weights still fit."""
    said = term.strip()
    return f"\x00{place}" if said in lost and said not in others else term
