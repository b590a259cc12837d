"""Checkpoints of pretraining: where they lie, that they are what a shorter run would have left, and who starts from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainables.pipeline import Experiment, Result, run_experiment
from trainables.runtime import Runtime
from trainables.settings import AuxSKDSettings, ExperimentSettings, PretextSettings, SettingsError, with_values
from trainables.store import Store

Contents = Callable[[Path, Result], dict[str, bytes]]


def ignore(line: dict[str, Any]) -> None:
    pass


def tensors(place: Runtime, result: Result, stage: str, name: str = "weights") -> dict[str, Tensor]:
    artifact = Store(place.store).find(stage, result.stages[stage])
    assert artifact is not None
    return artifact.tensors(name)


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize(
    ("epochs", "checkpoints", "expected"),
    [(40, 4, [10, 20, 30, 40]), (20, 1, [20]), (4, 4, [1, 2, 3, 4]), (10, 4, [3, 5, 8, 10]), (5, 3, [2, 4, 5])],
)
def test_checkpoints_are_evenly_spaced_and_the_last_is_the_end(epochs: int, checkpoints: int, expected: list[int]) -> None:
    settings = PretextSettings(epochs=epochs, checkpoints=checkpoints)
    assert [settings.checkpoint_epoch(number) for number in range(1, checkpoints + 1)] == expected


@given(st.integers(1, 300), st.integers(1, 300))
def test_checkpoints_are_evenly_spaced_epochs(epochs: int, checkpoints: int) -> None:
    """Different ones as long as there are enough epochs; the last one is the end of the run."""
    settings = AuxSKDSettings(epochs=epochs, checkpoints=checkpoints)
    found = [settings.checkpoint_epoch(number) for number in range(1, checkpoints + 1)]
    assert found == sorted(found)
    assert checkpoints > epochs or len(set(found)) == checkpoints
    assert found[-1] == epochs
    assert all(0 <= epoch - number * epochs / checkpoints < 1 for number, epoch in enumerate(found, start=1))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"auxskd.checkpoints": 2, "auxskd.checkpoint": 3}, "checkpoint = 3 is more than checkpoints = 2"),
        ({"pretext.checkpoint": 0}, "greater than or equal to 1"),
    ],
)
def test_checkpoints_that_cannot_be(tiny: ExperimentSettings, values: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        with_values(tiny, values)


@pytest.mark.slow
def test_a_checkpoint_is_what_a_run_of_so_many_epochs_leaves(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    """The step schedule does not know the number of epochs, so epochs 1, 2 and 3 of one run are three runs, to the bit; of the
    learning rate's decay after epoch 2 too. What starts from a checkpoint is what follows such a run."""
    place = runtime()
    one_measure = with_values(tiny, {"recipe": "pretext", "evaluation.measures": ["linear_probe"], "pretext.step_epochs": 2})
    long = with_values(one_measure, {"pretext.epochs": 3, "pretext.checkpoints": 3})
    whole = run_experiment(Experiment(long, 0), place, ignore)
    for number in (1, 2):
        short = run_experiment(Experiment(with_values(one_measure, {"pretext.epochs": number}), 0), place, ignore)
        assert equal(tensors(place, whole, "pretext", f"weights-{number}"), tensors(place, short, "pretext"))
        checkpoint = run_experiment(Experiment(with_values(long, {"pretext.checkpoint": number}), 0), place, ignore)
        assert checkpoint.stages["pretext"] == whole.stages["pretext"]
        assert checkpoint.stages["features"] not in (whole.stages["features"], short.stages["features"])
        assert equal(tensors(place, checkpoint, "features", "features"), tensors(place, short, "features", "features"))
        assert {name: value for name, value in checkpoint.metrics.items() if "linear_probe" in name} == {
            name: value for name, value in short.metrics.items() if "linear_probe" in name
        }
    kept = Store(place.store).find("pretext", whole.stages["pretext"])
    assert kept is not None
    assert sorted(path.name for path in kept.directory.glob("weights*")) == [
        "weights-1.safetensors",
        "weights-2.safetensors",
        "weights.safetensors",
    ]


def test_finetuning_and_the_pretext_task_start_from_the_checkpoint_they_are_told(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime]
) -> None:
    """At a learning rate of almost nothing the first epoch's weights still show where a stage started."""
    place = runtime()
    values = {
        "auxskd.learning_rate": 0.1,
        "auxskd.checkpoints": 2,
        "auxskd.checkpoint": 1,
        "pretext.learning_rate": 1e-12,
        "pretext.checkpoints": 2,
        "pretext.checkpoint": 1,
        "finetune.epochs": 1,
        "finetune.learning_rate": 1e-12,
        "evaluation.measures": ["finetune"],
    }
    result = run_experiment(Experiment(with_values(tiny, values), 0), place, ignore)
    first, last = (tensors(place, result, "auxskd", name) for name in ("weights-1", "weights"))
    pretext, finetuned = tensors(place, result, "pretext", "weights-1"), tensors(place, result, "finetune")
    for name in [name for name, value in first.items() if value.dim() == 5]:
        assert float((first[name] - last[name]).abs().max()) > 1e-6, "the checkpoints can be told apart"
        torch.testing.assert_close(pretext[name], first[name], rtol=0, atol=1e-9)
        torch.testing.assert_close(finetuned[f"network.{name}"], first[name], rtol=0, atol=1e-9)


@pytest.fixture(scope="module")
def uninterrupted(
    tiny: ExperimentSettings, clips: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ExperimentSettings, Path, Result]:
    """Settings with checkpoints of two stages, the store in which they ran without a stop, and what they gave."""
    values = {
        "auxskd.epochs": 3,
        "auxskd.checkpoints": 3,
        "pretext.epochs": 4,
        "pretext.checkpoints": 2,
        "evaluation.measures": ["linear_probe"],
    }
    settings = with_values(tiny, values)
    whole = Runtime(tmp_path_factory.mktemp("whole"), clips, device="cpu")
    return settings, whole.store, run_experiment(Experiment(settings, 0), whole, ignore)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [("auxskd", 1), ("auxskd", 2), ("pretext", 1), ("pretext", 3)])
def test_an_interruption_between_epochs_keeps_the_checkpoints(
    uninterrupted: tuple[ExperimentSettings, Path, Result],
    runtime: Callable[..., Runtime],
    contents: Contents,
    stop: tuple[str, int],
) -> None:
    """The rest of the run continues after the epoch; every checkpoint is that of an uninterrupted run, to the bit."""

    def stopping(line: dict[str, Any]) -> None:
        if (line["stage"], line.get("epoch")) == stop:
            raise KeyboardInterrupt

    (settings, whole, expected), parts = uninterrupted, runtime("parts")
    with pytest.raises(KeyboardInterrupt):
        run_experiment(Experiment(settings, 0), parts, stopping)
    lines: list[tuple[str, int]] = []
    resumed = run_experiment(Experiment(settings, 0), parts, lambda line: lines.append((line["stage"], line.get("epoch"))))
    assert stop not in lines
    assert contents(parts.store, resumed) == contents(whole, expected)
    names = {"auxskd/weights-1.safetensors", "auxskd/weights-2.safetensors", "pretext/weights-1.safetensors"}
    assert names <= contents(parts.store, resumed).keys()
