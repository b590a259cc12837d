"""benchmarks/distillation_step.py: its sides do the same work but for the teachers; nothing here depends on speed."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
import torch
import typer

from benchmarks import distillation_step as benchmark
from benchmarks.training import Training
from trainables.presets import configure
from trainables.runtime import Runtime

TINY = {
    "data.embedded.classes": 6,
    "data.embedded.frames": 16,
    "data.embedded.height": 16,
    "data.embedded.width": 16,
    "video.clip_frames": 4,
    "video.height": 16,
    "video.width": 16,
    "video.crop": 16,
    "frames.per_clip": 1,
    "prednet.side": 16,
    "student.batch_size": 4,
    "graph.sketch": 8,
}


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Training]:
    settings = configure("demo", {**benchmark.FEW_VIDEOS, **TINY, "recipe": "distillation"})
    scratch = tmp_path_factory.mktemp("scratch")
    return benchmark.students(settings, Runtime(scratch / "store", scratch / "cache", device="cpu"))


def test_bank_and_live_teachers_give_the_same_loss_for_the_batch(sides: Mapping[str, Training]) -> None:
    """Students start from the same weights; dropout and batch statistics are those of the same random numbers and clips."""
    batch = next(sides["bank"].loader.epoch(0))
    found = {}
    for side, training in sides.items():
        torch.manual_seed(0)
        found[side] = training.step(batch)
    (bank, of_bank), (live, of_live), (labels, of_labels) = found["bank"], found["live"], found["labels"]
    torch.testing.assert_close(bank, live)
    assert of_bank.keys() == of_live.keys() > {"logits_loss", "representation_loss"}
    assert of_labels.keys() == {"accuracy"}
    torch.testing.assert_close(labels, of_bank["hard_loss"])


def test_all_sides_train_all_parts_at_the_batch_size_of_the_student(sides: Mapping[str, Training]) -> None:
    batch = next(sides["bank"].loader.epoch(0))
    assert len(batch["index"]) == 4
    for side, training in sides.items():
        before = {name: weight.detach().clone() for name, weight in training.network.named_parameters()}
        benchmark._step(training, batch)()
        same = [name for name, weight in training.network.named_parameters() if torch.equal(weight, before[name])]
        assert same == [], side


def test_sides_are_shown_over_live_teachers(capsys: pytest.CaptureFixture[str]) -> None:
    given = [f"{name}={value}" for name, value in TINY.items()]
    benchmark.main(presets=["demo", "small"], set_values=given, rounds=1)
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])["figures"]
    names = [f"{preset}: {side}, batch 4" for preset in ("demo", "small") for side in ("live", "bank", "labels")]
    assert [figure["name"] for figure in figures] == names
    assert [figure["ratio"] for figure in figures[::3]] == [1.0, 1.0]
    assert all(figure["value"] > 0 for figure in figures)
    assert [figure["target"] for figure in figures] == [None] * 4 + ["<= 0.35", None]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_a_missing_gpu_is_said() -> None:
    with pytest.raises(typer.BadParameter, match="no GPU"):
        benchmark.main(device="cuda")
