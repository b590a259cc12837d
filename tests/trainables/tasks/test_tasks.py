"""What holds for every pretext task: shapes, determinism, the settings it names, and a network that learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.models import make_backbone
from trainables.settings import ExperimentSettings, setting_names, with_values
from trainables.tasks import SelfSupervisedTask

NAMES = sorted(TASKS)


def make(tiny: ExperimentSettings, name: str) -> SelfSupervisedTask:
    return TASKS[name](with_values(tiny, {"pretext.task": name, "rspnet.memory_bank": 16, "vcop.head_width": 16}))


def batch(task: SelfSupervisedTask, samples: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Random clips of the right shape with labels that the task sampled."""
    drawn = [task.sample(60, np.random.default_rng(seed)) for seed in range(samples)]
    clips = torch.randn(samples, len(drawn[0].indices), 3, 8, 12, 12, generator=torch.Generator().manual_seed(0))
    return clips, {name: torch.tensor([sample.labels[name] for sample in drawn]) for name in drawn[0].labels}


def test_every_task_of_the_settings_exists() -> None:
    assert set(TASKS) == {"vspp", "video_pace", "vcop", "rspnet"}
    for name in TASKS:
        assert with_values(ExperimentSettings(), {"pretext.task": name}).pretext.task == name


@pytest.mark.parametrize("name", NAMES)
def test_settings_that_enter_keys_exist(name: str) -> None:
    """A misspelt name would leave the setting out of the key, and two different stages would be taken for one."""
    for prefix in (*TASKS[name].reads, *TASKS[name].reads_for_views):
        assert any(setting == prefix or setting.startswith(prefix + ".") for setting in setting_names()), prefix
    for prefix in TASKS[name].reads_for_views:
        assert any(prefix == wider or prefix.startswith(wider + ".") for wider in TASKS[name].reads), prefix


@pytest.mark.parametrize("name", NAMES)
def test_views_depend_only_on_the_settings_they_name(tiny: ExperimentSettings, name: str) -> None:
    """Every other setting of the task is changed; the views stay what they were."""
    others: dict[str, dict[str, object]] = {
        "vspp": {"vspp.speed_weight": 0.5, "vspp.segment_weight": 0.0, "vspp.unaltered_segment": "exclude"},
        "video_pace": {},
        "vcop": {"vcop.head_width": 3, "vcop.dropout": 0.1, "vcop.short_videos": "shrink"},
        "rspnet": {
            "rspnet.temperature": 0.5,
            "rspnet.margin": 1.0,
            "rspnet.projection": 3,
            "rspnet.memory_bank": 5,
            "rspnet.key_momentum": 0.5,
            "rspnet.appearance_weight": 0.5,
            "rspnet.speed_weight": 0.5,
        },
    }
    read = {setting for setting in setting_names() for prefix in TASKS[name].reads_for_views if setting.startswith(prefix)}
    assert read | set(others[name]) == {setting for setting in setting_names() if setting.startswith(name + ".")}
    changed = TASKS[name](with_values(tiny, {"pretext.task": name, **others[name]}))
    for seed in range(5):
        first, second = (task.views(60, np.random.default_rng(seed)) for task in (make(tiny, name), changed))
        assert first.indices.tolist() == second.indices.tolist()


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(NAMES), st.integers(1, 100), st.integers(0, 2**32 - 1))
def test_draws_are_whole_clips_within_the_video_and_depend_on_the_generator_only(
    tiny: ExperimentSettings, name: str, frames: int, seed: int
) -> None:
    task = make(tiny, name)
    for draw in (task.sample, task.views):
        first, second = (draw(frames, np.random.default_rng(seed)) for _ in range(2))
        assert first.indices.tolist() == second.indices.tolist()
        assert first.labels == second.labels
        assert (first.wrapped, first.changes) == (second.wrapped, second.changes)
        assert first.indices.dtype == np.int64
        assert first.indices.shape[1] == 8
        assert first.indices.min() >= 0
        assert first.indices.max() < frames
        assert 0 <= first.wrapped <= len(first.indices)
    assert len(task.views(frames, np.random.default_rng(seed)).indices) == 2


@pytest.mark.parametrize("name", NAMES)
def test_metrics_have_one_value_per_sample_and_the_loss_falls(tiny: ExperimentSettings, name: str) -> None:
    """Twelve steps on one batch: a network that is wired wrongly, or lacks a gradient, cannot learn it by heart."""
    task = make(tiny, name)
    torch.manual_seed(0)
    network = task.network(make_backbone(tiny.backbone), pretrained=False)
    clips, labels = batch(task, 6)
    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.05, momentum=0.9)
    history = []
    for _ in range(12):
        loss, metrics = task.loss(network, clips, labels)
        assert loss.shape == ()
        assert all(value.shape == (6,) and not value.requires_grad for value in metrics.values())
        assert any(metric.endswith("_accuracy") for metric in metrics)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(float(loss.detach()))
    assert min(history[-3:]) < 0.7 * max(history[:2])


@pytest.mark.parametrize("name", NAMES)
def test_networks_are_drawn_from_the_seed_and_hold_the_given_backbone(tiny: ExperimentSettings, name: str) -> None:
    task = make(tiny, name)
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        backbone = make_backbone(tiny.backbone)
        network = task.network(backbone, pretrained=True)
        assert any(module is backbone for module in network.modules())
        states.append(network.state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_mode_leaves_the_state_alone(tiny: ExperimentSettings, name: str) -> None:
    task = make(tiny, name)
    network = task.network(make_backbone(tiny.backbone), pretrained=False).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        task.loss(network, *batch(task, 3))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
