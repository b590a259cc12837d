"""Which random numbers of a stage follow the trial's seed, where `seeds.vary` says which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.trainables.conftest import stage_and_work
from trainables.data import open_data
from trainables.pipeline import Experiment, resolve
from trainables.runtime import Runtime
from trainables.settings import SOURCES, USUAL_SOURCES, ExperimentSettings, SettingsError, parse_assignment, with_values
from trainables.stages.training import move_by_one_unit, train
from trainables.stages.work import Outcome, Training

FIRST = {
    "auxskd": {},
    "pretext": {"recipe": "pretext"},
    "finetune": {"recipe": "scratch"},
    "sorting": {},
    "student": {"recipe": "student"},
}
"""Stages that start from nothing, and what an experiment needs for them to be the first."""


def begun(name: str, settings: ExperimentSettings, place: Runtime, seed: int) -> dict[str, Any]:
    """What a stage starts from, by source of variance; nothing is trained."""
    stage, work = stage_and_work(name, settings, place)
    work = replace(work, seed=seed)
    training = stage.declared.run(work)
    assert isinstance(training, Training)
    sample = training.loader.dataset[0, 0]
    with work.seeded(f"{name}/epoch", 0, source="noise"):
        noise = torch.rand(4).tolist()
    return {
        "weights": {name: value.tolist() for name, value in training.network.state_dict().items()},
        "order": list(training.loader.order),
        "clips": {name: value.tolist() if isinstance(value, torch.Tensor) else value for name, value in sample.items()},
        "noise": noise,
    }


@pytest.mark.parametrize("name", FIRST)
def test_a_source_that_varies_is_the_only_one_that_follows_the_seed(
    name: str, tiny: ExperimentSettings, tiny_graph: ExperimentSettings, runtime: Callable[..., Runtime]
) -> None:
    base = with_values(tiny_graph if name in ("sorting", "student") else tiny, FIRST[name])
    for vary in (*SOURCES, "order+noise"):
        settings = with_values(base, {"seeds.vary": vary})
        first, other = (begun(name, settings, runtime(), seed) for seed in (0, 3))
        assert {source for source in first if first[source] != other[source]} == set(vary.split("+")) - {"rounding"}
        assert first == begun(name, base, runtime(), 0), "the others have the numbers of seed 0"


def test_rounding_moves_every_weight_by_one_unit_in_its_last_place() -> None:
    before = torch.tensor([1.0, -1.0, 0.3, 1e-30, 0.0])
    after = before.repeat(400, 1)
    torch.manual_seed(0)
    move_by_one_unit([after])
    up, down = (torch.nextafter(before, torch.tensor(end)) for end in (float("inf"), -float("inf")))
    assert bool(((after == up) | (after == down)).all())
    assert ((after == up).float().mean(0) - 0.5).abs().max() < 0.1


def test_rounding_alone_leads_to_other_weights_and_is_repeated_by_the_same_seed(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime]
) -> None:
    def ended(vary: str, seed: int) -> list[Any]:
        stage, work = stage_and_work("finetune", with_values(tiny, {"recipe": "scratch", "seeds.vary": vary}), runtime())
        work = replace(work, seed=seed)
        training = stage.declared.run(work)
        outcome = training if isinstance(training, Outcome) else train(training, work)
        return [value.tolist() for value in outcome.tensors["weights"].values()]

    moved = [ended("rounding", seed) for seed in (0, 1, 1)]
    assert moved[0] != moved[1] == moved[2]
    assert ended("weights", 0) not in moved


def test_which_sources_vary_is_in_the_keys_of_what_they_act_on_and_nowhere_if_all_do(
    tiny: ExperimentSettings, tiny_graph: ExperimentSettings, runtime: Callable[..., Runtime]
) -> None:
    for settings in (tiny, tiny_graph):
        data = open_data(settings.data, runtime())
        usual = resolve(Experiment(settings, 0), data)
        assert not any(name.startswith("seeds.") for stage in usual for name in stage.settings)
        same = resolve(Experiment(with_values(settings, {"seeds.vary": "+".join(USUAL_SOURCES.split("+")[::-1])}), 0), data)
        assert [stage.key for stage in same] == [stage.key for stage in usual]
        some = resolve(Experiment(with_values(settings, {"seeds.vary": "order"}), 0), data)
        named = {stage.kind for stage in some if "seeds.vary" in stage.settings}
        assert named == {stage.kind for stage in some if stage.declared.schedule or stage.kind.endswith("_views")}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("seeds.vary=order+order", "one is named twice"),
        ("seeds.vary=ordre", "'ordre' is none of weights, order, clips, noise, rounding, joined by .; did you mean 'order'"),
        ("seeds.vary=", "valid string|is none of"),
        ("seeds.others=-1", "greater than or equal to 0"),
    ],
)
def test_sources_that_do_not_exist_are_refused(tiny: ExperimentSettings, word: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        with_values(tiny, dict([parse_assignment(word)]))
