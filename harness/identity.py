"""What a sweep is, as it was written down when it was last started: IDENTITY_FILE in its directory, sealed.

What is in it is said where it is written (harness/trials.py). Imports no Ray, no Optuna, no torch, so that reports may ask.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from trainables.checksums import DIGEST, Mismatch, sealed, unsealed
from trainables.files import write_atomically

IDENTITY_FILE = "sweep.json"
OBJECTIVE, DIRECTION, FURTHER = "objective", "direction", "further_objectives"
"""Keys under which it says by which metric a search goes, and which way; and pairs of these of metrics beside it."""
SEEDS, CONFIRM, TABLE = "seeds", "confirm", "table"
"""Keys under which it says with how many seeds a search judges a configuration; as a Confirm, what is confirmed with others;
and which table of a paper has rows of the space."""
RANGES = "ranges"
"""Key under which it says of each parameter, in words, from where it is drawn."""


@dataclass(frozen=True)
class Confirm:
    """With how many seeds in all the `best` of a search and the paper's rows are run, of which the search saw the `first`.

    sequential: whether those whose effects stay undecided get more.
    """

    best: int
    seeds: int
    first: int
    sequential: bool

    @classmethod
    def written_in(cls, identity: Mapping[str, Any]) -> Self | None:
        return cls(**identity[CONFIRM]) if identity.get(CONFIRM) else None


def read_identity(directory: Path) -> dict[str, Any]:
    """What was written; nothing where that is missing, or damaged. Raises OSError."""
    try:
        text = (directory / IDENTITY_FILE).read_bytes()
    except FileNotFoundError:
        return {}
    try:
        return unsealed(text)
    except Mismatch:
        return _of_before(text)


def _of_before(text: bytes) -> dict[str, Any]:
    """What versions wrote that sealed nothing."""
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) and DIGEST not in content else {}


def is_damaged(directory: Path) -> bool:
    """Whether something was written, and is lost."""
    return (directory / IDENTITY_FILE).exists() and not read_identity(directory)


def write_identity(directory: Path, content: Mapping[str, Any]) -> None:
    """Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / IDENTITY_FILE, sealed(content))
