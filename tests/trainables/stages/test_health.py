"""Measures of a network in training: against numpy, in their limits, and of every training stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainables.models import make_backbone, make_encoder
from trainables.models.folding import folded, in_place_of
from trainables.models.vgg import VGG
from trainables.pipeline import Result, Stage
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, with_values
from trainables.stages import training as training_module
from trainables.stages.health import (
    LEAP,
    MOST_BATCHES,
    Health,
    alignment,
    deviation,
    effective_rank,
    greatest,
    looked_at,
    moved,
    spread,
    uniformity,
)
from trainables.store import Artifact

OF_FEATURES = {"health_std", "health_rank", "health_uniformity"}


class Ran(Protocol):
    """Experiments that ran (conftest.py)."""

    results: dict[str, Result]
    stages: list[tuple[Stage, Any]]


def unit(rows: Tensor) -> Tensor:
    return nn.functional.normalize(rows.double(), dim=1)


@pytest.fixture
def rows() -> Tensor:
    return unit(torch.randn(12, 5, generator=torch.Generator().manual_seed(1)).relu() + 0.1)


def test_measures_of_features_agree_with_numpy(rows: Tensor) -> None:
    """Each written out in numpy: loops over pairs, the singular values of numpy's SVD."""
    found = rows.numpy()
    assert spread(rows) == pytest.approx(np.mean([np.std(found[:, one]) for one in range(5)]) * np.sqrt(5), rel=1e-12)
    values = np.linalg.svd(found - found.mean(0), compute_uv=False)
    shares = values / values.sum()
    assert effective_rank(rows) == pytest.approx(np.exp(-np.sum(shares * np.log(shares))), rel=1e-9)
    pairs = [(one, two) for one in range(12) for two in range(one)]
    apart = [np.exp(-2 * np.sum((found[one] - found[two]) ** 2)) for one, two in pairs]
    assert uniformity(rows) == pytest.approx(np.log(np.mean(apart)), rel=1e-9)
    videos = torch.arange(12) % 5
    alike = [np.sum((found[one] - found[two]) ** 2) for one, two in pairs if one % 5 == two % 5]
    assert alignment(rows, videos) == pytest.approx(np.mean(alike), rel=1e-9)


def test_limits_of_the_measures_of_features() -> None:
    """Constant features: 0, rank 1, uniformity 0, alignment 0. Both directions of d axes: rank d, deviation 1, and pairs that
    are sqrt 2 apart but for the opposite ones; orthogonal and opposite pairs of one video: 2 and 4."""
    constant = unit(torch.ones(8, 4) * torch.arange(1.0, 5))
    assert spread(constant) == pytest.approx(0, abs=1e-9)
    assert effective_rank(constant) == 1
    assert uniformity(constant) == pytest.approx(0, abs=1e-9)
    assert alignment(constant, torch.zeros(8)) == pytest.approx(0, abs=1e-12)
    dead = unit(torch.zeros(8, 4))
    assert (spread(dead), effective_rank(dead)) == (0, 1)
    axes = torch.cat([torch.eye(4), -torch.eye(4)]).double()
    assert spread(axes) == pytest.approx(1)
    assert effective_rank(axes) == pytest.approx(4)
    assert uniformity(axes) == pytest.approx(np.log((24 * np.exp(-4) + 4 * np.exp(-8)) / 28))
    assert alignment(axes, torch.tensor([0, 0, 1, 1, 2, 3, 4, 5])) == pytest.approx(2)
    assert alignment(axes, torch.arange(8) % 4) == pytest.approx(4)
    assert alignment(axes, torch.arange(8)) is None


def test_how_far_weights_have_gone() -> None:
    """|w - w0| / |w0| of all together: (3, 4) and (12) to (3, 4) and (12 + 6.5) is half of 13."""
    start = [torch.tensor([3.0, 4.0]), torch.tensor([12.0])]
    assert moved([start[0], torch.tensor([18.5])], start) == pytest.approx(0.5)
    assert moved(start, start) == 0
    assert moved([torch.zeros(2), torch.zeros(1)], start) == 1
    assert moved([torch.ones(2)], [torch.zeros(2)]) == 0


def looked(network: nn.Module, clips: Tensor, index: list[int] | None = None, videos: int | None = None) -> Health:
    health = Health(network)
    with health.looking(batch_of(clips, index), videos):
        network(clips)
    return health


def batch_of(clips: Tensor, index: list[int] | None = None) -> dict[str, Tensor]:
    numbers = index or list(range(len(clips)))
    return {"wrapped": torch.zeros(len(clips)), "index": torch.tensor(numbers), "pixels": clips}


def test_how_far_the_first_updates_went() -> None:
    """By the movement after LEAP of them; of a shorter stage that at its end."""
    network = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(2.0)
    health = Health(network)
    for update in range(1, LEAP + 11):
        with torch.no_grad():
            network.weight.add_(0.1)
        health.updated(update, torch.tensor(3.0 / update))
        assert health.leap == pytest.approx(min(update, LEAP) * 0.05, rel=1e-4)
    assert health.start.loss == 3.0


def test_dead_units_are_counted_by_layer() -> None:
    """Of 4 + 6 units, those whose inputs are never positive: 1 and 3; channels of a map are dead if they are so everywhere."""
    first, second = nn.Linear(3, 4), nn.Conv1d(1, 6, 1)
    network = nn.Sequential(first, nn.ReLU(inplace=True), nn.Unflatten(1, (1, 4)), second, nn.ReLU())
    with torch.no_grad():
        first.bias.copy_(torch.tensor([-100.0, 1, 1, 1]))
        first.weight.zero_()
        second.weight.copy_(torch.tensor([-1.0, -1, -1, 1, 1, 1]).reshape(6, 1, 1))
        second.bias.zero_()
    clips = torch.randn(5, 3)
    health = looked(network, clips)
    found = health.measures(first=True)
    assert health.start.dead == pytest.approx({"1": 1 / 4, "4": 3 / 6})
    assert (found["health_dead"], found["health_died"]) == pytest.approx((4 / 10, 0))
    assert "health_dead" not in health.measures(), "what was looked at counts once"
    with torch.no_grad():
        first.bias[:3] = -100
    with health.looking(batch_of(clips)):
        network(clips)
    found = health.measures()
    assert (found["health_dead"], found["health_died"]) == pytest.approx((6 / 10, 2 / 4)), "two of four died, of six none"


@pytest.mark.parametrize("shape", [(7, 3), (4, 5, 6), (3, 18, 5, 7), (2, 8, 4, 6, 6), (1, 3, 1, 1, 1)], ids=str)
def test_the_greatest_value_of_a_channel_is_that_of_any_layout(shape: tuple[int, ...]) -> None:
    """Against torch's amax, with channels first and last in memory; a NaN counts as the greatest there as well."""
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))
    maps[-1, 1] = torch.nan
    for layout in (maps, maps.movedim(1, -1).contiguous().movedim(-1, 1)):
        assert torch.equal(greatest(layout).nan_to_num(9), maps.amax([0, *range(2, len(shape))]).nan_to_num(9))


def test_how_much_logits_differ_between_clips() -> None:
    """sqrt(mean (l - mean over clips)^2 / mean l^2): of (1, 3), (3, 1) 1 / sqrt 5; of the same for all clips 0."""
    assert deviation(torch.tensor([[1.0, 3.0], [3.0, 1.0]])) == pytest.approx(5**-0.5)
    assert deviation(torch.tensor([[1.0, -3.0]] * 4)) == 0
    assert deviation(torch.zeros(4, 2)) == 0


def test_a_classifier_s_logits_are_looked_at(tiny: ExperimentSettings) -> None:
    torch.manual_seed(0)
    network, clips = make_backbone(tiny.backbone, 3).eval(), torch.rand(6, 3, 8, 12, 12)
    with torch.no_grad():
        found = looked(network, clips).measures()
        assert found["health_logits"] == pytest.approx(deviation(network(clips)), rel=1e-4)


@pytest.mark.parametrize("name", ["backbone", "alexnet", "vgg", "prednet"])
def test_features_are_those_that_the_network_gives(tiny_graph: ExperimentSettings, name: str) -> None:
    """Of a backbone what it returns; of an encoder its last map averaged over space, of every frame that it sees."""
    torch.manual_seed(0)
    settings = with_values(tiny_graph, {"frames.per_clip": 2})
    network: Any = make_backbone(settings.backbone) if name == "backbone" else make_encoder(name, settings, 3)
    network.eval()
    clips = torch.rand(6, 3, 8, 12, 12)
    with torch.no_grad():
        expected = network(clips) if name == "backbone" else network.outputs(clips, len(network.layers())).map.mean((2, 3))
        found = looked(network, clips).measures()
    if name in ("alexnet", "vgg"):  # of whose frames the map is averaged
        with torch.no_grad():
            expected = network.maps(clips[:, :, [2, 6]].transpose(1, 2).flatten(0, 1)).mean((2, 3))
        assert found["health_alignment"] > 0
    if name == "prednet":  # which has seen one frame less
        with torch.no_grad():
            expected = network.outputs(clips[:, :, :-1], len(network.layers())).map.mean((2, 3))
    assert found["health_std"] == pytest.approx(spread(unit(expected)), rel=1e-5)
    assert found["health_rank"] == pytest.approx(effective_rank(unit(expected)), rel=1e-4)


def test_features_are_of_the_last_layer_that_is_asked_for(tiny_graph: ExperimentSettings) -> None:
    """Frame sorting may ask for the first layers only."""
    torch.manual_seed(0)
    network, frames = VGG(tiny_graph).eval(), torch.rand(6, 3, 12, 12)
    health = Health(network)
    with torch.no_grad(), health.looking(batch_of(frames)):
        maps = network.layers()[1](network.layers()[0](frames))
    assert health.measures()["health_std"] == pytest.approx(spread(unit(maps.mean((2, 3)))), rel=1e-5)


def test_features_of_equal_clips_say_nothing_of_the_network(tiny: ExperimentSettings) -> None:
    """As of a validation split of one video, or of copies: neither a deviation nor a collapse. With one other clip they do."""
    torch.manual_seed(0)
    network = make_backbone(tiny.backbone, 3).eval()
    clips = torch.rand(1, 3, 8, 12, 12).expand(4, -1, -1, -1, -1)
    with torch.no_grad():
        assert {"health_std", "health_logits"}.isdisjoint(looked(network, clips).measures())
        health = looked(network, clips)
        with health.looking(batch_of(clips[:2] + 1)):
            network(clips[:2] + 1)
        assert {"health_std", "health_logits"} <= set(health.measures())


def test_clips_of_one_video_are_told_by_their_number(tiny: ExperimentSettings) -> None:
    """Samples 0 to 5 of three videos: 0 and 3, 1 and 4, 2 and 5 are of one."""
    torch.manual_seed(0)
    network, clips = make_backbone(tiny.backbone).eval(), torch.rand(6, 3, 8, 12, 12)
    with torch.no_grad():
        found = looked(network, clips, videos=3).measures()
        features = unit(network(clips))
    assert found["health_alignment"] == pytest.approx(float((features[:3] - features[3:]).square().sum(1).mean()), rel=1e-5)


def test_what_is_validated_in_place_of_a_network_is_seen_like_it(tiny: ExperimentSettings) -> None:
    """Of clips that pass its form for evaluation, units by the names of the network's own layers."""
    torch.manual_seed(0)
    network, clips = make_backbone(tiny.backbone, 3).eval(), torch.rand(6, 3, 8, 12, 12)
    with torch.no_grad():
        expected = looked(network, clips, videos=3).measures()
        health, quick = Health(network), folded(network)
        with health.looking(batch_of(clips), 3, in_place_of(network, quick)):
            quick(clips)
    assert set(health.alive) == set(health.units) != set()
    assert health.measures() == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_at_most_so_many_batches_are_looked_at_and_spread_evenly() -> None:
    assert looked_at(0) == set()
    assert looked_at(3) == {0, 1, 2}
    assert looked_at(MOST_BATCHES) == set(range(MOST_BATCHES))
    assert looked_at(10 * MOST_BATCHES) == set(range(0, 10 * MOST_BATCHES, 10))


def test_every_training_stage_says_how_it_is(variety: Ran) -> None:
    """After each epoch; alignment where a video is seen more than once, dead units where there are ReLUs."""
    made_by = [(name, made) for ran in variety.results.values() for name, made in ran.made.items()]
    trained = {name: made for name, made in made_by if f"{name.partition('/')[0]}/loss" in " ".join(made.metrics)}
    kinds = {stage.kind for stage, _ in variety.stages if stage.declared.schedule}
    assert {name.partition("/")[0] for name in trained} == kinds
    for name, made in trained.items():
        found = {metric.rpartition("/")[2] for metric in made.history if "health" in metric}
        expected = {"health_moved", *OF_FEATURES}
        if not name.startswith(("prediction", "prednet")):
            expected |= {"health_dead", "health_died"}
        if name in ("auxskd", "sorting", "tracking", "ego_motion"):
            expected.add("health_alignment")
        if name.startswith(("finetune", "student")) or name.endswith("classifier"):
            expected.add("health_logits")
        assert expected <= found, name
        assert f"{name}/health_leap" in made.metrics
        epochs = {len(made.history[f"{name}/{metric}"]) for metric in found}
        assert len(epochs) == 1 and epochs.pop() == len(made.history[f"{name}/loss"])


class Stopped(Exception):
    pass


@pytest.mark.parametrize("stage", ["auxskd", "finetune"])
def test_measures_of_a_stage_that_was_interrupted_are_those_of_one_that_was_not(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime], run_stage: Callable[..., Artifact], stage: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Killed after each batch in turn, also after the last one of an epoch, whose features nobody computes again."""
    place = runtime(save_every=0)
    settings = tiny.model_copy(update={"recipe": "scratch" if stage == "finetune" else tiny.recipe})
    whole = run_stage(stage, settings, place)
    save, saves = training_module._Loop._save, 0

    def then_stop(loop: Any) -> None:
        save(loop)
        raise Stopped

    monkeypatch.setattr(training_module._Loop, "_save", then_stop)
    for _ in range(20):
        try:
            found = run_stage(stage, settings, place, store="parts")
        except Stopped:
            saves += 1
            continue
        break
    assert saves == 2 * 2 + 2, "two batches and the end of each of two epochs"
    assert found.history() == whole.history()
    assert all("health_moved" in " ".join(line) for line in found.history())
