"""Where trainings end, so that more epochs of the same go on from there: `<store>/<kind>/.<course>.course/<epochs>/`.

A course is a training without its number of epochs: what each epoch computes is decided by it. At the end of a stage the last
training state stays in its course, beside the artifact, which is whole without it. Whoever asks for more epochs begins with the
state after most of them, as whoever goes on with interrupted work does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SUFFIX = ".course"


@dataclass(frozen=True)
class Course:
    """A course, from which so many epochs are asked for.

    name: its hash. kept: given the epochs of a shorter training, which of the files that it kept on the way take the place of
    this one's, by the names that they have in this one; None where it lacks some.
    """

    name: str
    epochs: int
    kept: Callable[[int], Mapping[str, str] | None]

    def place(self, kind: Path) -> Path:
        """Where the state after all epochs lies. kind: the folder of the store."""
        return kind / f".{self.name}{SUFFIX}" / str(self.epochs)

    def goes_on_from(self, epochs: int) -> bool:
        """Whether it can go on from a training of so many epochs."""
        return epochs < self.epochs and self.kept(epochs) is not None

    def shorter(self, kind: Path) -> Iterator[tuple[int, Path]]:
        """The shorter trainings that this one can go on from, by their epochs, the longest first."""
        found = []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found = [int(path.name) for path in self.place(kind).parent.iterdir() if path.name.isdecimal()]
        for epochs in sorted(filter(self.goes_on_from, found), reverse=True):
            yield epochs, self.place(kind).with_name(str(epochs))
