"""What a finished stage kept for people to look at, read back: the test videos that it found hardest, and the nearest of those
trained on. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.artifact_files import ArtifactFiles

NO_CLASS = "no class"
Frames = NDArray[np.uint8]
"""(frames, height, width, 3), RGB."""


@dataclass(frozen=True)
class Answer:
    """What was said of a test video: its class and the one it was taken for, with their scores."""

    name: str
    frames: Frames
    truth: str
    truth_score: float
    taken: str
    score: float

    @property
    def right(self) -> bool:
        return self.truth == self.taken


@dataclass(frozen=True)
class Neighbour:
    """A video of the training split. similarity: cosine of mean features. right: whether it is of the query's class."""

    name: str
    frames: Frames
    label: str
    similarity: float
    right: bool


@dataclass(frozen=True)
class Query:
    """A test video and what is nearest to it, the nearest first."""

    name: str
    frames: Frames
    label: str
    neighbours: Sequence[Neighbour]


def hardest(files: ArtifactFiles) -> list[Answer]:
    """The hardest first. Raises NotThere."""
    pictures, said = files.arrays("pictures"), files.document("videos.json")
    classes, test = said["classes"], said["test"]
    return [
        Answer(
            test["name"][number],
            frames,
            classes[test["label"][number]],
            test["label_score"][number],
            classes[test["predicted"][number]],
            test["score"][number],
        )
        for number, frames in zip(pictures["hardest_numbers"].tolist(), pictures["hardest"], strict=True)
    ]


def nearest(files: ArtifactFiles) -> list[Query]:
    """Raises NotThere."""
    pictures, said = files.arrays("pictures"), files.document("neighbours.json")
    test, classes = said["test"], said["classes"]
    shown = zip(pictures["query_numbers"].tolist(), pictures["queries"], pictures["neighbours"], strict=True)
    return [
        Query(test["name"][number], frames, _class(classes, test["label"][number]), _neighbours(said, number, near))
        for number, frames, near in shown
    ]


def _neighbours(said: dict[str, Any], number: int, pictures: NDArray[Any]) -> list[Neighbour]:
    test, gallery = said["test"], said["gallery"]
    of_query = zip(test["nearest"][number], test["similarity"][number], pictures, strict=False)
    return [
        Neighbour(
            gallery["name"][one],
            frames,
            _class(said["classes"], gallery["label"][one]),
            similarity,
            gallery["label"][one] == test["label"][number],
        )
        for one, similarity, frames in of_query
    ]


def _class(classes: Sequence[str], label: int) -> str:
    return classes[label] if label >= 0 else NO_CLASS
