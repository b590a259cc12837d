"""What only a GPU can show of its settings; elsewhere these tests skip. They have not been run on one yet."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.trainables.stages.test_resuming import content, in_single_steps
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, with_values
from trainables.stages.saving import is_aside
from trainables.store import Artifact

DEVICE = "cuda"
DETERMINISTIC = {"compute.deterministic": True}
RunStage = Callable[..., Artifact]
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
STAGES = {
    "auxskd": ("auxskd", {}),
    "pretext": ("pretext", {"recipe": "pretext"}),
    "finetune": ("finetune", {"recipe": "scratch", "finetune.dropout": 0.5}),
    "c3d": (
        "finetune",
        {"recipe": "scratch", "backbone.family": "c3d", "video.height": 20, "video.width": 20, "video.crop": 16},
    ),
    "sorting": ("sorting", {"recipe": "fusion"}),
    "student": ("student", {"recipe": "student"}),
}
OF_GRAPH = ("sorting", "student")
every_stage = pytest.mark.parametrize("name", STAGES)


def asked(
    name: str, tiny: ExperimentSettings, tiny_graph: ExperimentSettings, **changes: Any
) -> tuple[str, ExperimentSettings]:
    stage, values = STAGES[name]
    return stage, with_values(tiny_graph if name in OF_GRAPH else tiny, {**values, **changes})


@every_stage
def test_deterministic_kernels_give_the_same_bits(
    name: str, tiny: ExperimentSettings, tiny_graph: ExperimentSettings, runtime: Callable[..., Runtime], run_stage: RunStage
) -> None:
    stage, settings = asked(name, tiny, tiny_graph, **DETERMINISTIC)
    place = runtime(device=DEVICE)
    assert content(run_stage(stage, settings, place)) == content(run_stage(stage, settings, place))


@every_stage
def test_interrupted_after_every_step_it_ends_in_the_same_bits(
    name: str,
    tiny: ExperimentSettings,
    tiny_graph: ExperimentSettings,
    runtime: Callable[..., Runtime],
    run_stage: RunStage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of states that a thread has written from copies."""
    stage, settings = asked(name, tiny, tiny_graph, **DETERMINISTIC)
    place = runtime(device=DEVICE, save_every=0)
    whole = run_stage(stage, settings, place)
    assert is_aside(torch.device(DEVICE))
    resumed, _ = in_single_steps(monkeypatch, functools.partial(run_stage, stage, settings, place, "parts"))
    assert content(resumed) == content(whole)


@pytest.mark.parametrize("changes", [{"compute.fused": True}, {"compute.cudnn_benchmark": True}, {"compute.tf32": "all"}])
@every_stage
def test_a_setting_changes_rounding_alone(
    name: str,
    tiny: ExperimentSettings,
    tiny_graph: ExperimentSettings,
    runtime: Callable[..., Runtime],
    run_stage: RunStage,
    changes: dict[str, Any],
) -> None:
    """The loss of the first epoch, a few steps; of TF32, which has 10 bits of a mantissa, to a hundredth."""
    place, losses = runtime(device=DEVICE), []
    for values in ({}, changes):
        stage, settings = asked(name, tiny, tiny_graph, **values)
        losses.append(run_stage(stage, settings, place).history()[0][f"{stage}/loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)
