"""What a trial leaves to look at: the confusion of its test videos, and pictures of what its networks were shown.

Read from the artifacts of its stages, by the processes that show trials to people. Files that are not there, as in artifacts of
before there were any, or that are damaged, are left out. Imports no torch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.artifact_files import ArtifactFiles, NotThere
from trainables.looked_at import hardest, nearest

MOST_BYTES = 1 << 20
"""Of the pixels of a picture; a larger one is made smaller."""
MARGIN = 2
"""Pixels around a neighbour, in a colour that says whether it is of the query's class."""
RIGHT, WRONG = (0, 158, 115), (213, 94, 0)

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """pixels: (height, width, 3), RGB. caption: what its rows are."""

    name: str
    caption: str
    pixels: Pixels


@dataclass(frozen=True)
class Confusion:
    """counts: test videos by class (row) and by what they were taken for (column)."""

    name: str
    classes: Sequence[str]
    counts: Sequence[Sequence[int]]


def media_of(artifacts: Mapping[str, str]) -> Iterator[Picture | Confusion]:
    """By stage the directory of its artifact. Names are like those of the stage's metrics."""
    for stage, directory in artifacts.items():
        kind, several, dataset = stage.partition("/")
        files = ArtifactFiles(Path(directory))
        for what, read in (("confusion", _confusion), ("samples", _samples), ("hardest", _hardest), ("nearest", _nearest)):
            with contextlib.suppress(NotThere, KeyError):
                yield read(files, f"{kind}/{what}{several}{dataset}")


def _confusion(files: ArtifactFiles, name: str) -> Confusion:
    content = files.document("confusion.json")
    return Confusion(name, content["classes"], content["test"])


def _samples(files: ArtifactFiles, name: str) -> Picture:
    clips = files.arrays("pictures")["samples"]  # (samples, V, frames, side, side, 3)
    rows = [_strip(clip) for sample in clips for clip in sample]
    return Picture(name, f"what is trained on, augmented: {len(clips)} samples of {clips.shape[1]} clips", _bounded(rows))


def _hardest(files: ArtifactFiles, name: str) -> Picture:
    found = hardest(files)
    lines = [f"{one.name}: {one.truth}, taken for {one.taken}" for one in found]
    return Picture(name, "the hardest test videos\n" + "\n".join(lines), _bounded(_strip(one.frames) for one in found))


def _nearest(files: ArtifactFiles, name: str) -> Picture:
    rows, lines = [], []
    for query in nearest(files):
        near = [_framed(one.frames[len(one.frames) // 2], RIGHT if one.right else WRONG) for one in query.neighbours]
        rows.append(np.concatenate([_framed(_strip(query.frames), (255, 255, 255)), *near], axis=1))
        lines.append(f"{query.name} ({query.label}): " + ", ".join(one.label for one in query.neighbours))
    return Picture(name, "test videos, and the nearest of those trained on\n" + "\n".join(lines), _bounded(rows))


def _strip(frames: NDArray[Any]) -> Pixels:
    """Frames (frames, height, width, 3), one beside the other."""
    return np.concatenate(list(frames), axis=1).astype(np.uint8)


def _framed(pixels: NDArray[Any], colour: tuple[int, int, int]) -> Pixels:
    height, width, channels = pixels.shape
    framed = np.empty((height + 2 * MARGIN, width + 2 * MARGIN, channels), np.uint8)
    framed[:] = colour
    framed[MARGIN:-MARGIN, MARGIN:-MARGIN] = pixels
    return framed


def _bounded(rows: Any) -> Pixels:
    """Rows one below the other, as large as they may be."""
    pixels: Pixels = np.concatenate(list(rows), axis=0)
    while pixels.nbytes > MOST_BYTES:
        pixels = pixels[::2, ::2]
    return np.ascontiguousarray(pixels)


def heat(confusion: Confusion) -> Pixels:
    """A confusion as a picture: the share of a class's videos, black for none and white for all."""
    counts = np.array(confusion.counts, np.float64)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    cell = max(1, 256 // max(len(counts), 1))
    grey = np.kron(shares * 255, np.ones((cell, cell))).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)
