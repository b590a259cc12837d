"""What stages left in the store, for reports: documents and arrays, read without torch, checked against `done.json`.

What is gone or damaged is told as a reason, so that a report says what it cannot show.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from harness.ledger import Record
from trainables.checksums import Mismatch, check_content, unsealed


class NotThere(Exception):
    """An artifact, or a file of it, cannot be shown; the message says which and why."""


@dataclass(frozen=True)
class Artifacts:
    """The artifacts of a store, by the stages of records."""

    store: Path

    def document(self, record: Record, stage: str, name: str) -> Any:
        """A JSON file that a stage of a trial left. Raises NotThere."""
        path = self._checked(record, stage, name)
        try:
            return json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise NotThere(f"{self._said(path)} is not readable: {error}") from None

    def arrays(self, record: Record, stage: str, name: str) -> dict[str, np.ndarray]:
        """The arrays of `<name>.safetensors` that a stage of a trial left. Raises NotThere."""
        path = self._checked(record, stage, f"{name}.safetensors")
        try:
            arrays: dict[str, np.ndarray] = load_file(path)
        except (OSError, SafetensorError) as error:
            raise NotThere(f"{self._said(path)} is not readable: {error}") from None
        return arrays

    def _checked(self, record: Record, stage: str, name: str) -> Path:
        key = record.stages.get(stage)
        if key is None:
            raise NotThere(f"trial {record.trial} has no stage {stage}")
        directory = self.store / stage.partition("/")[0] / key
        try:
            listed = unsealed((directory / "done.json").read_bytes()).get("files", {})
            if name not in listed:
                raise NotThere(f"{self._said(directory)} was made before there was {name}")
            check_content(directory / name, listed[name])
        except Mismatch as problem:
            raise NotThere(f"{self._said(directory / name)} {problem}") from None
        except OSError:
            raise NotThere(f"{self._said(directory)} is not in the store {self.store}") from None
        return directory / name

    def _said(self, path: Path) -> str:
        return path.relative_to(self.store).as_posix()


def stages_of(record: Record, *kinds: str) -> list[str]:
    """The stages of a trial that are of these kinds; with several downstream sets one for each: `evaluate/hmdb51`."""
    return [name for name in record.stages if name.partition("/")[0] in kinds]
