"""benchmarks/pretraining_throughput.py: its sides do what they say; nothing here depends on how fast the machine is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from benchmarks import pretraining_throughput as benchmark
from trainables.presets import configure
from trainables.runtime import Runtime

ROOT = Path(__file__).resolve().parents[2]
TINY = {
    **benchmark.ONLY_TRAINING,
    "data.embedded.classes": 6,
    "data.embedded.train": 1,
    "data.embedded.height": 16,
    "data.embedded.width": 16,
    "video.clip_frames": 4,
    "video.height": 16,
    "video.width": 16,
    "video.crop": 16,
    "backbone.width": 4,
    "pretext.batch_size": 4,
    "auxskd.batch_size": 4,
}
SET = [f"{name}={value}" for name, value in TINY.items()]
CLIPS_OF_A_SAMPLE = {"auxskd": 2, "vspp": 1, "video_pace": 1, "vcop": 3, "rspnet": 3}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def training(stage: str, cache: Path, scratch: Path) -> benchmark.Training:
    runtime = Runtime(scratch / "store", cache, device="cpu")
    return benchmark._training(configure("demo", TINY), stage, runtime, batches=3)


@pytest.mark.parametrize("stage", benchmark.STAGES)
def test_an_epoch_has_the_batches_asked_for(stage: str, cache: Path, tmp_path: Path) -> None:
    """3 batches of 4 samples, more than the 6 videos have at one clip each."""
    found = training(stage, cache, tmp_path)
    assert len(found.loader.loader) == 3
    assert found.count == 3 * 4 * CLIPS_OF_A_SAMPLE[stage]
    assert found.clips.shape == (4, CLIPS_OF_A_SAMPLE[stage], 3, 4, 16, 16)


@pytest.mark.parametrize("stage", ["auxskd", "rspnet"])
def test_bare_passes_give_gradients_and_rounds_of_the_stage_train_again(stage: str, cache: Path, tmp_path: Path) -> None:
    found = training(stage, cache, tmp_path)
    trained = [parameter for parameter in found.network.parameters() if parameter.requires_grad]

    def values() -> list[torch.Tensor]:
        return [parameter.detach().clone() for parameter in trained]

    def changed(before: list[torch.Tensor]) -> bool:
        return not all(torch.equal(one, other) for one, other in zip(before, trained, strict=True))

    before = values()
    found.bare()
    assert all(parameter.grad is not None for parameter in trained)
    assert not changed(before)
    for _ in range(2):
        before = values()
        found.stage()
        assert changed(before), "a second round does not take the first one's state for its own"
        state = found.work.workplace.load_state()
        assert state is not None
        assert [line["epoch"] for line in state["history"]] == [1]
    before = values()
    found.input()
    assert not changed(before)


def test_every_side_of_every_stage_is_shown(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark.main(presets=["demo"], set_values=SET, cache=cache, rounds=1, batches=1)
    found = {figure["name"]: figure for figure in json.loads(capsys.readouterr().out.splitlines()[-1])["figures"]}
    assert list(found) == [f"demo {stage}: {side}" for stage in benchmark.STAGES for side in ("bare", "stage", "input")]
    for stage in benchmark.STAGES:
        assert found[f"demo {stage}: bare"]["ratio"] == 1.0
        assert found[f"demo {stage}: stage"]["target"] == ">= 0.85"
        assert found[f"demo {stage}: stage"]["value"] > 0


def test_arithmetic_is_varied_in_all_combinations() -> None:
    on_gpu, on_cpu = benchmark._computes(True, True), benchmark._computes(True, False)
    assert list(on_gpu) == [
        "float32",
        "float32 compiled",
        "float32 channels-last",
        "float32 channels-last compiled",
        "bfloat16",
        "bfloat16 compiled",
        "bfloat16 channels-last",
        "bfloat16 channels-last compiled",
    ]
    assert len({tuple(values.items()) for values in on_gpu.values()}) == 8
    assert on_gpu["bfloat16 channels-last compiled"] == {
        "compute.precision": "bfloat16",
        "compute.channels_last": True,
        "compute.compile": True,
    }
    assert list(on_cpu) == ["float32", "float32 compiled", "bfloat16", "bfloat16 compiled"]
    assert benchmark._computes(False, True) == {"": {}}


def test_needs_neither_the_harness_nor_video_decoders_once_the_cache_is_prepared(tmp_path: Path) -> None:
    """A process that can import none of them measures with the cache that another one filled."""

    def run(missing: tuple[str, ...], *options: str) -> str:
        script = f"import runpy, sys; sys.modules.update(dict.fromkeys({missing!r}))\n"
        script += "runpy.run_path('benchmarks/pretraining_throughput.py', run_name='__main__')"
        settings = [part for value in SET for part in ("--set", value)]
        arguments = ["--preset", "demo", "--stage", "vspp", "--batches", "1", "--rounds", "1", "--cache", str(tmp_path)]
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments, *settings, *options],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run((), "--prepare") == ""
    result: dict[str, Any] = json.loads(run(("ray", "optuna", "wandb", "decord", "av")).splitlines()[-1])
    assert [figure["name"] for figure in result["figures"]] == ["demo vspp: bare", "demo vspp: stage", "demo vspp: input"]


def test_what_cannot_be_measured_is_said() -> None:
    with pytest.raises(typer.BadParameter, match="--stage pace: valid stages: auxskd, vspp, video_pace, vcop, rspnet"):
        benchmark.main(stages=["pace"])
    with pytest.raises(typer.BadParameter, match="--cache"):
        benchmark.main(prepare=True)
    if not torch.cuda.is_available():
        with pytest.raises(typer.BadParameter, match="no GPU"):
            benchmark.main(device="cuda")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_networks_in_bfloat16_are_measured(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = [*SET, "backbone.family=r3d", "compute.compile=true", "compute.precision=bfloat16"]
    benchmark.main(presets=["demo"], stages=["vspp"], set_values=values, cache=cache, rounds=1, batches=1)
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])["figures"]
    assert [figure["name"] for figure in figures] == ["demo vspp: bare", "demo vspp: stage", "demo vspp: input"]
