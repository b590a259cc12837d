"""Files that are known by size and SHA-256, and JSON that carries its own: whether what is read is what was written."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DIGEST = "digest"
_SEAL = b', "seal": "%s"}\n'
_SEAL_LENGTH = len(_SEAL % (b"0" * 16))

_verified: dict[tuple[int, ...], str] = {}
"""Hashes of files that this process has read, by what changes when a file does."""


class Mismatch(Exception):
    """A file is not what was written; the message goes on after the file's name."""


def entry_of(path: Path) -> dict[str, Any]:
    """`bytes` and `sha256` of a file, read in pieces. Raises OSError."""
    with path.open("rb") as file:
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def check_size(path: Path, entry: Mapping[str, Any]) -> None:
    """Raises Mismatch for another number of bytes, OSError where there is no such file."""
    if (size := path.stat().st_size) != entry["bytes"]:
        raise Mismatch(f"has {size:,} bytes instead of {entry['bytes']:,}")


def check_content(path: Path, entry: Mapping[str, Any]) -> None:
    """Raises Mismatch for other content, OSError where there is no such file. A file is read once per process."""
    check_size(path, entry)
    status = path.stat()
    identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if identity not in _verified:
        _verified[identity] = entry_of(path)["sha256"]
    if _verified[identity] != entry["sha256"]:
        raise Mismatch("has other content than was written")


def json_text(content: Any) -> str:
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def sealed(content: Mapping[str, Any]) -> str:
    """JSON of the content and a digest of it."""
    plain = json.loads(json.dumps(content))
    return json_text({**plain, DIGEST: hashlib.sha256(json_text(plain).encode()).hexdigest()})


def unsealed(text: bytes) -> dict[str, Any]:
    """The content of what `sealed` wrote. Raises Mismatch if so much as a blank differs."""
    try:
        content: dict[str, Any] = json.loads(text)
        del content[DIGEST]
        if sealed(content).encode() == text:
            return content
    except (ValueError, TypeError, KeyError):
        raise Mismatch("is not readable") from None
    raise Mismatch("has other content than was written")


def sealed_line(content: Mapping[str, Any]) -> bytes:
    """A line of JSON whose last key, `seal`, is a hash of all before it. Raises ValueError for what is not finite, or empty."""
    text = json.dumps(content, allow_nan=False, ensure_ascii=False, sort_keys=True).encode()
    if not content:
        raise ValueError("nothing to seal")
    return text[:-1] + _SEAL % _hash(text)


def unsealed_line(line: bytes) -> bytes | None:
    """The JSON that `sealed_line` sealed, or None for a line without a seal. Raises Mismatch if anything differs from then."""
    text, seal = line[:-_SEAL_LENGTH] + b"}", line[-_SEAL_LENGTH:]
    if seal[:11] != _SEAL[:11] or seal[-3:] != _SEAL[-3:]:
        return None
    if seal != _SEAL % _hash(text):
        raise Mismatch("has other content than was written")
    return text


def _hash(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:16].encode()
