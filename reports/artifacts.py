"""What stages left in the store, by the records of trials. What is gone or damaged is told as a reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.ledger import Record
from trainables.artifact_files import ArtifactFiles, NotThere


@dataclass(frozen=True)
class Artifacts:
    """The artifacts of a store, by the stages of records."""

    store: Path

    def document(self, record: Record, stage: str, name: str) -> Any:
        """A JSON file that a stage of a trial left. Raises NotThere."""
        return self.files(record, stage).document(name)

    def arrays(self, record: Record, stage: str, name: str) -> dict[str, np.ndarray]:
        """The arrays of `<name>.safetensors` that a stage of a trial left. Raises NotThere."""
        return self.files(record, stage).arrays(name)

    def files(self, record: Record, stage: str) -> ArtifactFiles:
        """Raises NotThere for a stage that the trial has not."""
        key = record.stages.get(stage)
        if key is None:
            raise NotThere(f"trial {record.trial} has no stage {stage}")
        return ArtifactFiles(self.store / stage.partition("/")[0] / key)


def stages_of(record: Record, *kinds: str) -> list[str]:
    """The stages of a trial that are of these kinds; with several downstream sets one for each: `evaluate/hmdb51`."""
    return [name for name in record.stages if name.partition("/")[0] in kinds]
