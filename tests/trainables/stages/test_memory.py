"""Memory that runs out: recognised as torch says it, explained, and free again when it is said."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch

from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, with_values
from trainables.stages import training
from trainables.stages.memory import OutOfMemory, ran_out, within_memory
from trainables.store import Artifact

TOO_MUCH = 2**60
RunStage = Callable[..., Artifact]


def test_what_torch_raises_for_a_tensor_that_does_not_fit() -> None:
    """More bytes than any machine has, of the allocator itself."""
    with pytest.raises(RuntimeError) as raised:
        torch.empty(TOO_MUCH, dtype=torch.uint8)
    assert ran_out(raised.value)
    with pytest.raises(MemoryError) as of_python:
        bytearray(TOO_MUCH)
    assert ran_out(of_python.value)
    assert ran_out(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    assert ran_out(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"))
    assert not ran_out(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not ran_out(ValueError("out of memory"))


def test_what_took_the_memory_is_free_when_it_is_explained() -> None:
    """The error knows nothing of the first one, whose traceback holds the tensors; others are raised as they are."""
    held: list[weakref.ref[torch.Tensor]] = []

    def run() -> None:
        large = torch.zeros(10)
        held.append(weakref.ref(large))
        torch.empty(TOO_MUCH, dtype=torch.uint8)

    with pytest.raises(OutOfMemory, match=r"^too large$") as raised:
        within_memory(run, lambda: OutOfMemory("too large"))
    gc.collect()
    assert held[0]() is None
    assert raised.value.__cause__ is None and raised.value.__context__ is None
    with pytest.raises(ZeroDivisionError):
        within_memory(lambda: 1 // 0, lambda: OutOfMemory("too large"))


def exhausted(*arguments: Any) -> Any:
    return torch.empty(TOO_MUCH, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("name", "values", "says", "never", "parts"),
    [
        (
            "finetune",
            {"recipe": "scratch", "compute.accumulation": 2, "finetune.batch_size": 8},
            r"^finetune: out of memory on this machine, which has \d+\.\d GiB, with batches of 8 samples, clips of 8 frames of "
            r"12x12 pixels; less is needed with --set compute\.accumulation=4 .*finetune\.batch_size, or .*bfloat16$",
            "--set compute.accumulation=2 ",
            4,
        ),
        (
            "finetune",
            {"recipe": "scratch", "compute.accumulation": 2},
            r"^finetune: out of memory .* of 5 samples, clips .*; less is needed with a smaller finetune\.batch_size, or .*",
            "accumulation",
            None,
        ),
        (
            "tracking",
            {"recipe": "fusion", "teachers.tasks": "tracking", "compute.precision": "bfloat16"},
            r"^tracking: out of memory .* batches of 5 samples, which its loss compares, so that they are not divided, "
            r"clips of 12x12 pixels; .* a smaller tracking\.batch_size$",
            "accumulation",
            None,
        ),
    ],
)
def test_a_stage_says_what_needs_less(
    tiny_graph: ExperimentSettings,
    taught: tuple[Any, Any],
    runtime: Callable[..., Runtime],
    clips: Any,
    run_stage: RunStage,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    values: dict[str, Any],
    says: str,
    never: str,
    parts: int | None,
) -> None:
    """Only what helps: parts have two samples at least, and tracking compares those of a batch, which is never divided."""
    monkeypatch.setattr(training, "train_step", exhausted)
    place = Runtime(taught[0], clips, device="cpu")
    with pytest.raises(OutOfMemory, match=says) as raised:
        run_stage(name, with_values(tiny_graph, values), place)
    assert never not in str(raised.value)
    assert raised.value.parts == parts
    assert raised.value.__context__ is None


def test_a_stage_that_trains_nothing_says_so_too(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime], run_stage: RunStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.stages.work.network_clips", exhausted)
    settings = with_values(tiny, {"recipe": "scratch", "evaluation.measures": ["linear_probe"]})
    with pytest.raises(
        OutOfMemory, match=r"^features: out of memory on .*, with clips of 8 frames of 12x12 pixels; .*bfloat16$"
    ):
        run_stage("features", settings, runtime())
