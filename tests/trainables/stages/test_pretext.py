"""The pretext stage with each task: whole experiments with auxSKD before it, exact resuming, and videos that are too short."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainables.pipeline import Experiment, Result, run_experiment
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, with_values
from trainables.store import Store
from trainables.video.layouts import DataError

Contents = Callable[[Path, Result], dict[str, bytes]]

SMALL: dict[str, dict[str, Any]] = {
    "vspp": {},
    "video_pace": {},
    "vcop": {"vcop.clips": 2, "vcop.interval": 4, "vcop.head_width": 8},  # 2 * 8 + 4 frames, of the 20 there are
    "rspnet": {"rspnet.memory_bank": 7, "rspnet.projection": 8},  # a bank that batches of 5 do not divide
}
METRICS = {
    "vspp": {"speed_loss", "speed_accuracy", "segment_loss", "segment_accuracy"},
    "video_pace": {"speed_loss", "speed_accuracy"},
    "vcop": {"order_loss", "order_accuracy"},
    "rspnet": {"appearance_loss", "appearance_accuracy", "speed_loss", "speed_accuracy"},
}


def ignore(line: dict[str, Any]) -> None:
    pass


def settings(tiny: ExperimentSettings, task: str, **values: Any) -> ExperimentSettings:
    return with_values(tiny, {"pretext.task": task, **SMALL[task], **values})


@pytest.mark.parametrize("task", list(SMALL))
def test_a_whole_experiment_with_auxskd_before_the_task(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime], task: str
) -> None:
    place = runtime()
    epochs: list[int] = []
    result = run_experiment(Experiment(settings(tiny, task), 0), place, lambda line: epochs.append(line["epoch"]))
    assert list(result.stages) == ["auxskd", "pretext", "finetune", "evaluate", "features", "linear_probe", "retrieval"]
    assert epochs == [1, 2] * 3
    reported = {name.removeprefix("pretext/") for name in result.metrics if name.startswith("pretext/")}
    counts = {"loss", "val_loss", "wrapped_clips", "replaced_frames", "excluded_videos"}
    assert reported - counts == METRICS[task] | {f"val_{name}" for name in METRICS[task]}
    assert all(0 <= value <= 1 for name, value in result.metrics.items() if name.endswith("accuracy"))
    assert result.metrics["pretext/excluded_videos"] == 0
    assert {"auxskd/similarity", "test/top1", "test/linear_probe_top1", "test/retrieval_r1"} <= result.metrics.keys()
    artifact = Store(place.store).find("pretext", result.stages["pretext"])
    assert artifact is not None
    assert all(name.startswith(("stem.", "layer")) for name in artifact.tensors()), "heads, key encoder and bank are dropped"


@pytest.mark.parametrize("recipe", ["pretext", "auxskd_pretext"])
def test_rspnet_interrupted_and_resumed_equals_an_uninterrupted_run_to_the_bit(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime], contents: Contents, recipe: str
) -> None:
    """Its key encoder, the bank and the place in it are state: without any of them the third epoch would be another."""
    chosen = settings(
        tiny, "rspnet", **{"recipe": recipe, "pretext.epochs": 3, "auxskd.epochs": 1, "evaluation.measures": ["linear_probe"]}
    )

    def stopping(line: dict[str, Any]) -> None:
        if (line["stage"], line["epoch"]) == ("pretext", 2):
            raise KeyboardInterrupt

    whole, parts = runtime("whole"), runtime("parts")
    expected = run_experiment(Experiment(chosen, 0), whole, ignore)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(Experiment(chosen, 0), parts, stopping)
    epochs: list[tuple[str, int]] = []
    resumed = run_experiment(Experiment(chosen, 0), parts, lambda line: epochs.append((line["stage"], line["epoch"])))
    assert epochs == [("pretext", 3)]
    assert contents(parts.store, resumed) == contents(whole.store, expected)


def test_videos_too_short_for_vcop(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    """Three clips of 8, 8 frames apart, need 40 frames and there are 20: none is left, which is an error that says so; with
    `shrink` all take part. auxSKD leaves none out."""
    short = settings(tiny, "vcop", **{"vcop.clips": 3, "vcop.interval": 8, "evaluation.measures": ["linear_probe"]})
    lines: list[dict[str, Any]] = []
    with pytest.raises(DataError, match="vcop needs 40 frames, and none of 12 videos has that"):
        run_experiment(Experiment(short, 0), runtime(), lines.append)
    assert {line["stage"] for line in lines} == {"auxskd"}
    shrunk = with_values(short, {"vcop.short_videos": "shrink", "recipe": "pretext"})
    metrics = run_experiment(Experiment(shrunk, 0), runtime(), ignore).metrics
    assert metrics["pretext/excluded_videos"] == 0
    assert metrics["pretext/wrapped_clips"] == 0, "no clip of 8 is longer than its video"
