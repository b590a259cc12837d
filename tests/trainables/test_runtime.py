"""Where experiments run: travels to other processes as plain data, and what it opens."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from trainables.runtime import Runtime, describe, open_data
from trainables.settings import ExperimentSettings, with_values
from trainables.video.layouts import DataError, DataSource


def test_a_runtime_travels_as_json() -> None:
    sources = (("folder", DataSource(Path("/data"), Path("/data/list.csv"))), ("ucf101", DataSource(Path("/ucf"), None)))
    runtime = Runtime(Path("/store"), Path("/cache"), sources, 123, "cpu", 3)
    assert Runtime.from_config(json.loads(json.dumps(runtime.as_config()))) == runtime


def test_embedded_data_has_the_parts_asked_for(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    data = open_data(tiny.data, runtime())
    assert data["pretraining"] == data["downstream"]
    described = describe(data["downstream"])
    assert [described[name] for name in ("classes", "train", "validation", "test", "missing")] == [6, 12, 6, 6, 0]
    assert described["skipped"] == {}
    assert all(video.frames == 20 for video in data["downstream"].train)
    assert "/" not in json.dumps({**described, "skipped": {}}), "no path"


def test_unknown_and_absent_data_sets_are_explained(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    with pytest.raises(DataError, match=r"unknown dataset 'ucf1O1'; valid: .*ucf101"):
        open_data(with_values(tiny, {"data.pretraining": "ucf1O1"}).data, runtime())
    with pytest.raises(DataError, match="--data ucf101=DIR"):
        open_data(with_values(tiny, {"data.downstream": "ucf101"}).data, runtime())


def test_a_cpu_runs_one_thread(runtime: Callable[..., Runtime]) -> None:
    assert runtime().torch_device() == torch.device("cpu")
    assert torch.get_num_threads() == 1
