"""An artifact with every kind of file, and a store that notes what it warns of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from trainables import checksums
from trainables.store import Artifact, Store, Workplace

KIND, KEY = "finetune", "0123456789abcdef"


@pytest.fixture
def warned() -> list[str]:
    """What `store` warned of."""
    return []


@pytest.fixture
def store(tmp_path: Path, warned: list[str], monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store of a process that has read nothing yet."""
    monkeypatch.setattr(checksums, "_verified", {})
    return Store(tmp_path / "store", warned.append)


@pytest.fixture
def publish() -> Callable[..., Artifact]:
    """Publishes an artifact of two files of tensors, one of them kept on the way."""

    def publish(store: Store, key: str = KEY, workplace: Workplace | None = None, kind: str = KIND) -> Artifact:
        place = workplace or Workplace(store, kind, key)
        place.keep("weights-1", {"w": torch.ones(8)})
        return place.publish(
            settings={"recipe": "scratch", "rate": 1e-05},
            metrics={"validation/top1": 0.25},
            history=[{"epoch": 1, "finetune/loss": 0.5}, {"epoch": 2, "finetune/loss": 0.25}],
            tensors={"weights": {"layer.weight": torch.arange(12.0).reshape(3, 4)}},
            files={"confusion.json": {"classes": ["a", "ä"]}},
        )

    return publish
