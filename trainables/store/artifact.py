"""A finished stage on disk: reading it, and noticing what is no longer as it was published.

`done.json` lists every other file with size and SHA-256 and is sealed itself. Artifacts from before there were such lists have
`metrics` and `seconds` alone in it; of their files it can only be said whether they are readable.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from trainables.checksums import Mismatch, check_content, check_size, unsealed
from trainables.store.errors import DamagedArtifact, readable_errors

DONE = "done.json"
RUNG, EXTENDED_FROM = "rung", "extended_from"
"""What done.json says of a training: where in its kind's folder the state lies that more epochs go on from, and the epochs of
the shorter one that it went on from itself."""
UNLISTED = {"metrics", "seconds"}
"""What done.json holds where it lists no files."""


@dataclass(frozen=True)
class Artifact:
    """A finished stage on disk. Contents are checked when first opened; whatever reads raises DamagedArtifact or StoreError."""

    directory: Path

    @property
    def kind(self) -> str:
        return self.directory.parent.name

    @property
    def key(self) -> str:
        return self.directory.name

    @property
    def done(self) -> dict[str, Any]:
        """The content of done.json: `metrics` (last values), `seconds` (spent on the stage, interruptions included, and the
        shorter training that it went on from), `files` (name -> `bytes` and `sha256`) and, of some, RUNG and EXTENDED_FROM."""
        with self._noticing(DONE):
            text = (self.directory / DONE).read_bytes()
            try:
                content: dict[str, Any] = json.loads(text)
                if content.keys() == UNLISTED:
                    return content
            except (ValueError, AttributeError):
                raise Mismatch("is not readable") from None
            return unsealed(text)

    @property
    def rung(self) -> Path | None:
        """Where the state is that more epochs go on from, if it is still there."""
        name = self.done.get(RUNG)
        return None if name is None or not (place := self.directory.parent / name).is_dir() else place

    def tensors(self, name: str = "weights") -> dict[str, torch.Tensor]:
        """The tensors of `<name>.safetensors`, on the CPU."""
        path = self._checked(f"{name}.safetensors")
        with self._noticing(path.name):
            return load_file(path)

    def document(self, name: str) -> Any:
        """The content of a JSON file that the stage left."""
        path = self._checked(name)
        with self._noticing(name):
            return json.loads(path.read_bytes())

    def history(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, one per epoch."""
        path = self._checked("metrics.jsonl")
        with self._noticing(path.name):
            return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def check_sizes(self) -> None:
        """Cheap: that done.json is sound and that every file has the size that it lists."""
        for name, entry in self.done.get("files", {}).items():
            with self._noticing(name):
                check_size(self.directory / name, entry)

    def verify(self) -> None:
        """That every file is to the bit what was published; of files that done.json does not list, that they are readable."""
        done = self.done
        for name, entry in done.get("files", {}).items():
            with self._noticing(name):
                check_content(self.directory / name, entry)
        if "files" not in done:
            self._check_readable()

    def _check_readable(self) -> None:
        for path in sorted(self.directory.iterdir()):
            with self._noticing(path.name):
                if path.suffix == ".safetensors":
                    with safe_open(path, "pt"):
                        pass
                elif path.suffix == ".json":
                    json.loads(path.read_bytes())
        self.history()

    def _checked(self, name: str) -> Path:
        files = self.done.get("files")
        with self._noticing(name):
            if files is not None:
                if name not in files:
                    raise Mismatch("is not part of it")
                check_content(self.directory / name, files[name])
        return self.directory / name

    @contextlib.contextmanager
    def _noticing(self, name: str) -> Iterator[None]:
        try:
            with readable_errors(self.directory, "read"):
                try:
                    yield
                except (FileNotFoundError, NotADirectoryError):
                    raise Mismatch("is missing") from None
                except (ValueError, SafetensorError) as error:
                    raise Mismatch(f"is not readable ({error})") from error
        except Mismatch as problem:
            raise DamagedArtifact(self.directory, f"{name} {problem}") from None


def published(directory: Path) -> Artifact | None:
    """The artifact at a place, whole as far as sizes tell; None where nothing is. Raises DamagedArtifact or StoreError."""
    with readable_errors(directory, "read"):
        if not os.path.lexists(directory):
            return None
    artifact = Artifact(directory)
    artifact.check_sizes()
    return artifact
