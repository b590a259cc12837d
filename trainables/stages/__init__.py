"""The kinds of stage. Each reads some groups of settings and some parts of its data; both enter its key.

A new kind is a new file with a `run(Work) -> Artifact` and a line here. Raise `version` when a change makes old artifacts
wrong: their keys then no longer match.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trainables.pretext import TASKS
from trainables.settings import ExperimentSettings
from trainables.stages import auxskd, evaluate, features, finetune, linear_probe, pretext, retrieval
from trainables.stages.work import Work
from trainables.store import Artifact
from trainables.video.layouts import PARTS


@dataclass(frozen=True)
class Kind:
    """A kind of stage. groups: settings it reads, by dotted prefix; parts: what it reads of its data set.

    of_task: `reads` or `reads_for_views` where it reads settings of the pretext task as well.
    """

    run: Callable[[Work], Artifact]
    version: int
    groups: tuple[str, ...]
    parts: tuple[str, ...]
    of_task: str | None = None

    def reads(self, settings: ExperimentSettings) -> tuple[str, ...]:
        """Dotted prefixes of all settings that the stage depends on."""
        if self.of_task is None:
            return self.groups
        of_task: tuple[str, ...] = getattr(TASKS[settings.pretext.task], self.of_task)
        return self.groups + of_task


_NETWORK = ("video", "backbone", "compute")
_TRAINING = (*_NETWORK, "augmentation")

KINDS: dict[str, Kind] = {
    "auxskd": Kind(auxskd.run, 1, (*_TRAINING, "auxskd", "pretext.task"), ("train",), "reads_for_views"),
    "pretext": Kind(pretext.run, 1, (*_TRAINING, "pretext"), ("train", "validation"), "reads"),
    "finetune": Kind(finetune.run, 1, (*_TRAINING, "finetune"), ("train", "validation")),
    "evaluate": Kind(
        evaluate.run,
        1,
        (*_NETWORK, "finetune.dropout", "evaluation.clips", "evaluation.average"),
        ("validation", "test"),
    ),
    "features": Kind(features.run, 1, (*_NETWORK, "frozen"), PARTS),
    "linear_probe": Kind(linear_probe.run, 1, (), PARTS),
    "retrieval": Kind(retrieval.run, 1, (), PARTS),
}
