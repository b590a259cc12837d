"""A finished stage on disk for those who only look: its documents and arrays, checked against done.json. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from trainables.checksums import Mismatch, check_content, unsealed


class NotThere(Exception):
    """An artifact, or a file of it, cannot be shown; the message says which and why."""


@dataclass(frozen=True)
class ArtifactFiles:
    """The files of an artifact. What reads raises NotThere."""

    directory: Path

    def document(self, name: str) -> Any:
        """The content of a JSON file."""
        path = self._checked(name)
        try:
            return json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise NotThere(f"{_said(path)} is not readable: {error}") from None

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """The arrays of `<name>.safetensors`."""
        path = self._checked(f"{name}.safetensors")
        try:
            arrays: dict[str, np.ndarray] = load_file(path)
        except (OSError, SafetensorError) as error:
            raise NotThere(f"{_said(path)} is not readable: {error}") from None
        return arrays

    def _checked(self, name: str) -> Path:
        path = self.directory / name
        try:
            listed = unsealed((self.directory / "done.json").read_bytes()).get("files", {})
            if name not in listed:
                raise NotThere(f"{_said(self.directory)} was made before there was {name}")
            check_content(path, listed[name])
        except Mismatch as problem:
            raise NotThere(f"{_said(path)} {problem}") from None
        except OSError:
            raise NotThere(f"{_said(self.directory)} is not in the store {self.directory.parents[1]}") from None
        return path


def _said(path: Path) -> str:
    """Kind, key and file."""
    parts = path.parts[-3:] if path.suffix else path.parts[-2:]
    return "/".join(parts)
