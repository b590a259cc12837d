"""What a stage hands to its training loop, without training: network, loader, optimisation and step.

So the benchmarks measure what a trial computes, and not a copy of it that grows old.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self
from unittest import mock

from torch import Tensor, nn

from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, Optimisation
from trainables.stages import KINDS
from trainables.stages.work import Work, train
from trainables.store import Artifact, Workplace
from trainables.video.dataset import Batch, ClipLoader, network_clips
from trainables.video.layouts import VideoSet


def work_of(
    kind: str,
    settings: ExperimentSettings,
    videos: VideoSet,
    runtime: Runtime,
    inputs: Mapping[str, Artifact] | None = None,
) -> Work:
    """A stage to run, with seed 0; it tells nobody how it goes."""
    place = Workplace(runtime.open_store(), kind, "benchmark")
    cache, device = runtime.open_cache(), runtime.torch_device()
    return Work(kind, settings, 0, videos, inputs or {}, place, cache, device, runtime.workers, lambda line: None)


@dataclass(frozen=True)
class Training:
    """What a stage hands to `train`."""

    work: Work
    network: nn.Module
    loader: ClipLoader
    optimisation: Optimisation
    step: Callable[[Batch], tuple[Tensor, dict[str, Tensor]]]

    @classmethod
    def of(cls, work: Work) -> Self:
        """Run the stage up to the point where it would begin to train."""
        begun: list[Self] = []

        def begin(
            work: Work, network: nn.Module, loader: ClipLoader, optimisation: Optimisation, step: Any, **options: Any
        ) -> None:
            begun.append(cls(work, network, loader, optimisation, step))
            raise _Started

        with contextlib.suppress(_Started), _replaced_in_stages(train, begin):
            KINDS[work.kind].run(work)
        return begun[0]

    @functools.cached_property
    def batch(self) -> Batch:
        """A batch of the loader, on the device."""
        return {name: value.to(self.work.device) for name, value in next(self.loader.epoch(0)).items()}


@contextlib.contextmanager
def ready_clips(clips: Tensor) -> Iterator[None]:
    """Inside, the stages take `clips` (B, V, 3, K, H, W) for those of every batch, and make none out of pixels."""
    with _replaced_in_stages(network_clips, lambda *arguments: clips):
        yield


class _Started(Exception):
    """The stage has begun to train."""


@contextlib.contextmanager
def _replaced_in_stages(function: Callable[..., Any], by: Callable[..., Any]) -> Iterator[None]:
    """Inside, the modules of the stages call `by` where they import `function`."""
    with contextlib.ExitStack() as replaced:
        for name, module in list(sys.modules.items()):
            if name.startswith("trainables.stages.") and vars(module).get(function.__name__) is function:
                replaced.enter_context(mock.patch.object(module, function.__name__, by))
        yield
