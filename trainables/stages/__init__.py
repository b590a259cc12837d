"""The kinds of stage. Each reads some groups of settings and some parts of its data; both enter its key.

A new kind is a new file with a `run(Work) -> Artifact` and a line here. Raise `version` when a change makes old artifacts
wrong: their keys then no longer match.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trainables.stages import auxskd, evaluate, finetune, pretext
from trainables.stages.work import Work
from trainables.store import Artifact


@dataclass(frozen=True)
class Kind:
    """A kind of stage. groups: settings it reads, by dotted prefix; parts: what it reads of its data set."""

    run: Callable[[Work], Artifact]
    version: int
    groups: tuple[str, ...]
    parts: tuple[str, ...]


KINDS: dict[str, Kind] = {
    "auxskd": Kind(
        auxskd.run,
        1,
        ("video", "augmentation", "backbone", "compute", "vspp", "auxskd", "pretext.task"),
        ("train",),
    ),
    "pretext": Kind(
        pretext.run,
        1,
        ("video", "augmentation", "backbone", "compute", "vspp", "pretext"),
        ("train", "validation"),
    ),
    "finetune": Kind(
        finetune.run,
        1,
        ("video", "augmentation", "backbone", "compute", "finetune"),
        ("train", "validation"),
    ),
    "evaluate": Kind(
        evaluate.run,
        1,
        ("video", "backbone", "compute", "finetune.dropout", "evaluation"),
        ("validation", "test"),
    ),
}
