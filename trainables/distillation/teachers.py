"""What students are given of their teachers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


@dataclass(frozen=True)
class Teachers:
    """What is known of teachers before they are asked: their tasks; the channels of each one's map; its prototypes, the rows
    (classes, F) of its last layer."""

    tasks: Sequence[str]
    channels: Sequence[int] = ()
    prototypes: Sequence[Tensor] = ()


class Answers(NamedTuple):
    """What teachers say of the clips of a batch: logits (teachers, B, classes); of each its map (B, C, h, w) and its features
    (B, F), both empty where no loss asks for them."""

    logits: Tensor
    maps: Sequence[Tensor] = ()
    features: Sequence[Tensor] = ()
