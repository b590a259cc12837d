"""What teachers and student cost: parameters, operations, latency and memory of one clip's forward pass (Sec. 5.7).

The networks are untrained, as weights change none of it, and a GPU's kernels are of torch's own choice. A metric is
`compression/<network>_<quantity>`, the network a teacher's task or `student`: parameters; flops (a multiplication and an
addition are two); latency in seconds, the median of several passes of a single clip; peak_memory in bytes, of weights and what
lives at once beside them.
"""

from __future__ import annotations

import statistics
import time
import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from trainables.models import make_encoder
from trainables.models.device import wait_for
from trainables.models.encoder import Encoder
from trainables.models.weights import parameter_count
from trainables.settings import TEACHER_TASKS, ExperimentSettings
from trainables.stages.kind import NEGLIGIBLE, Kind
from trainables.stages.work import Outcome, Work
from trainables.tasks import find_task
from trainables.video.videos import PARTS

WARM_UP, REPEATS = 2, 10


def run(work: Work) -> Outcome:
    settings, classes = work.settings, len(work.videos.classes)
    networks: dict[str, Encoder] = {task: make_encoder(find_task(task).encoder, settings, classes) for task in TEACHER_TASKS}
    networks["student"] = make_encoder("alexnet", settings, classes)
    metrics: dict[str, float] = {}
    for number, (name, network) in enumerate(networks.items(), start=1):
        work.on_device(network)
        video = settings.video
        clip = torch.zeros(1, 3, video.clip_frames, video.crop, video.crop, device=work.device)
        measured = measure(network.eval(), clip)
        metrics |= {f"compression/{name}_{quantity}": value for quantity, value in measured.items()}
        work.report({"stage": work.kind, "epoch": number, "epochs": len(networks)})
    return Outcome(metrics)


@torch.no_grad()
def measure(network: Encoder, clip: Tensor) -> dict[str, float]:
    """Parameters, flops, latency in seconds and peak memory in bytes of a network on one clip (1, 3, K, H, W)."""
    with FlopCounterMode(display=False) as flops:
        network(clip)
    with LiveBytes(network) as memory:
        network(clip)
    return {
        "parameters": float(parameter_count(network)),
        "flops": float(flops.get_total_flops()),
        "latency": statistics.median([_seconds(network, clip) for _ in range(WARM_UP + REPEATS)][WARM_UP:]),
        "peak_memory": float(memory.peak),
    }


def _seconds(network: nn.Module, clip: Tensor) -> float:
    started = time.perf_counter()
    network(clip)
    wait_for(clip.device)
    return time.perf_counter() - started


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all new storages that operations inside give, beside the network's own; `peak` is the most at once.

    A clip that comes from outside does not count, nor do views of it.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sizes: dict[int, int] = {}
        self.total = self.peak = 0
        for tensor in (*network.parameters(), *network.buffers()):
            self._add(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {_address(tensor) for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, Tensor)}
        for found in tree_leaves(result):
            if isinstance(found, Tensor) and _address(found) not in given:
                self._add(found)
        return result

    def _add(self, tensor: Tensor) -> None:
        storage, address = tensor.untyped_storage(), _address(tensor)
        if address not in self.sizes:
            self.sizes[address] = storage.nbytes()
            self.total += storage.nbytes()
            self.peak = max(self.peak, self.total)
            weakref.finalize(storage, self._remove, address)

    def _remove(self, address: int) -> None:
        self.total -= self.sizes.pop(address)


def _address(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address


def _reads(settings: ExperimentSettings) -> tuple[str, ...]:
    arithmetic = ("compute.channels_last", "compute.compile", "compute.cuda_graphs")
    return ("vgg", "prednet", "alexnet", "frames", "video.clip_frames", "video.crop", *arithmetic)


KIND = Kind(
    "compression",
    2,
    run,
    _reads,
    PARTS,
    lambda settings, videos: NEGLIGIBLE,
    random=False,
    of_device=True,
    where=__name__,
)
