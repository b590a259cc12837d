"""What a trial's stages left to be looked at: confusion matrix, hardest videos, neighbours, clips of the training."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from harness.ledger import Record
from reports.artifacts import Artifacts, stages_of
from reports.leaderboard import Ranked
from reports.pages.figure import Plot, Variant, axis, plain
from trainables.artifact_files import NotThere
from trainables.looked_at import hardest, nearest

EVALUATIONS = ("evaluate", "evaluate_student")
QUALITY = 80
"""Of WebP."""
SHOWN = 72
"""Pixels of a screen that a strip is high."""


@dataclass(frozen=True)
class Strip:
    """Frames side by side. source: a `data:` address of it. said: below it. name: of the video. width, height: in which it is
    shown. right: whether what it shows is right, of an answer."""

    source: str
    said: str
    width: int
    height: int
    name: str = ""
    right: bool | None = None


@dataclass(frozen=True)
class Strips:
    """Rows of strips under a heading; or why there are none (`missing`)."""

    heading: str
    note: str
    rows: Sequence[Sequence[Strip]] = ()
    missing: str = ""


def confusion(best: Ranked, artifacts: Artifacts) -> tuple[Plot | None, list[str]]:
    """The confusion matrix of the test videos, over all seeds of a configuration; and what is missing of it."""
    sums: dict[str, np.ndarray] = {}
    classes: dict[str, list[str]] = {}
    missing: list[str] = []
    for record in best.records:
        for stage in stages_of(record, *EVALUATIONS):
            try:
                found = artifacts.document(record, stage, "confusion.json")
            except NotThere as reason:
                missing.append(str(reason))
                continue
            sums[stage] = sums.get(stage, 0) + np.array(found["test"])
            classes[stage] = found["classes"]
    variants = [_heatmap(stage, counts, classes[stage]) for stage, counts in sums.items()]
    note = "Test videos of the best configuration, counted over its seeds."
    return (Plot("confusion", "Confusion matrix", note, variants) if variants else None), missing


def _heatmap(stage: str, counts: np.ndarray, classes: Sequence[str]) -> Variant:
    names = list(map(plain, classes))
    of_row = 100 * counts / np.maximum(1, counts.sum(1, keepdims=True))
    cells = [
        [f"{truth} taken for {taken}<br>{counts[i, j]} videos, {of_row[i, j]:.0f} %" for j, taken in enumerate(names)]
        for i, truth in enumerate(names)
    ]
    heatmap = {
        "type": "heatmap", "z": of_row.round(1).tolist(), "x": names, "y": names, "text": cells, "hoverinfo": "text",
        "colorscale": "Cividis", "zmin": 0, "zmax": 100, "colorbar": {"title": {"text": "% of class"}, "thickness": 12},
    }  # fmt: skip
    if len(names) <= 12:
        heatmap |= {"texttemplate": "%{z:.0f}"}
    y = axis("true class", autorange="reversed")
    return Variant(stage, [heatmap], {"xaxis": axis("predicted class", tickangle=-45), "yaxis": y})


def looked_at(record: Record, artifacts: Artifacts) -> Iterator[Strips]:
    """Hardest videos, neighbours and training clips of a trial."""
    for stage in stages_of(record, *EVALUATIONS):
        yield _or_why(f"Hardest test videos ({stage})", _HARDEST, _hardest, record, stage, artifacts)
    for stage in stages_of(record, "retrieval"):
        yield _or_why(f"Nearest neighbours ({stage})", _NEIGHBOURS, _neighbours, record, stage, artifacts)
    for stage in record.stages:
        try:
            samples = artifacts.arrays(record, stage, "pictures").get("samples")
        except NotThere:
            continue
        if samples is not None:
            yield Strips(f"What {stage} was trained on", _SAMPLES, list(_sample_rows(samples)))


_HARDEST = "Those whose class has the lowest score compared with the best other one. Frames spread over the video."
_NEIGHBOURS = "A test video and the five nearest videos of the training split, by cosine of mean features."
_SAMPLES = "Clips after augmentation, before pixels are normalised; a row per video, a strip per clip that the task takes."


def _or_why(heading: str, note: str, rows: Any, record: Record, stage: str, artifacts: Artifacts) -> Strips:
    try:
        return Strips(heading, note, rows(record, stage, artifacts))
    except NotThere as reason:
        return Strips(heading, note, missing=str(reason))


def _hardest(record: Record, stage: str, artifacts: Artifacts) -> list[list[Strip]]:
    strips = []
    for answer in hardest(artifacts.files(record, stage)):
        words = f"{answer.truth}, {answer.truth_score:.2f}"
        words += "" if answer.right else f"; taken for {answer.taken}, {answer.score:.2f}"
        strips.append(_strip(answer.frames, words, answer.name, answer.right))
    return [strips]


def _neighbours(record: Record, stage: str, artifacts: Artifacts) -> list[list[Strip]]:
    return [
        [
            _strip(query.frames, query.label, query.name),
            *(_strip(one.frames[:1], f"{one.label}, {one.similarity:.2f}", one.name, one.right) for one in query.neighbours),
        ]
        for query in nearest(artifacts.files(record, stage))
    ]


def _sample_rows(samples: np.ndarray) -> Iterator[list[Strip]]:
    for sample in samples:
        yield [_strip(clip, f"clip {number}" if len(sample) > 1 else "") for number, clip in enumerate(sample, start=1)]


def _strip(frames: np.ndarray, said: str, name: str = "", right: bool | None = None) -> Strip:
    """frames: (F, H, W, 3) uint8."""
    image = Image.fromarray(np.concatenate(list(frames), axis=1))
    content = io.BytesIO()
    image.save(content, "WEBP", quality=QUALITY)
    source = f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"
    times = SHOWN / image.height
    return Strip(source, said, round(times * image.width), SHOWN, name, right)
