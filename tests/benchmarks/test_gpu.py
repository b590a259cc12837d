"""The benchmark for a GPU runs on a CPU at a tiny size, and its plain side trains on the same samples as the stage."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
import typer

from benchmarks import gpu
from benchmarks.plain import DEVIATION, MEAN, _changed, _of_hsv, _to_hsv
from trainables.presets import configure
from trainables.settings import flat, with_values


@pytest.mark.slow
def test_every_case_has_its_figures(tiny_graph_values: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    values = {**tiny_graph_values, "teachers.tasks": "sorting+prediction"}
    given = [f"{name}={json.dumps(value)}" for name, value in values.items() if name not in ("recipe", "backbone.depth")]
    gpu.main(families=["r3d"], preset="demo", device="cpu", batches=2, rounds=1, workers=0, set_values=given)
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])["figures"]
    sides = [f"{precision}: {side}" for precision in gpu.PRECISIONS for side in ("bare", "stage", "MFU", "memory")]
    for case in ("r3d auxskd", "r3d vspp", "r3d finetune", "student"):
        of_case = {one["name"]: one["value"] for one in figures if one["name"].startswith(case)}
        assert of_case.keys() == {*(f"{case}, {side}" for side in sides), f"{case}: plain", f"{case}: plain, memory"}
        assert all(value > 0 for value in of_case.values())
        assert of_case[f"{case}, float32: MFU"] < 1


@pytest.mark.slow
def test_settings_are_compared_one_by_one(tiny_values: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    given = [f"{name}={json.dumps(value)}" for name, value in tiny_values.items() if name not in ("recipe", "backbone.depth")]
    over = ["contiguous", "cudnn_benchmark"]
    place: dict[str, Any] = {"preset": "demo", "device": "cpu", "batches": 1, "rounds": 1, "workers": 0, "set_values": given}
    gpu.main(cases=["vspp"], families=["r3d"], over=over, **place)
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])["figures"]
    names = [f"r3d vspp, {name}" for name in (*over, "without")]
    assert [one["name"] for one in figures] == [f"{name}{what}" for name in names for what in ("", ": memory")]
    assert all(one["value"] > 0 for one in figures)
    assert [one["ratio"] is not None for one in figures] == [True] * 4 + [False] * 2


def test_what_is_compared_is_what_the_settings_allow() -> None:
    """Each of them changes something of preset `paper` as it is compared, but for what that has."""
    base = configure("paper", gpu.WITHOUT)
    for name, changes in gpu.OVER.items():
        assert flat(with_values(base, changes)) != flat(base), name
    with pytest.raises(typer.BadParameter, match="--over fast: valid: every, cudnn_benchmark, "):
        gpu.main(over=["fast"], device="cpu")


def test_colours_come_back_from_hsv() -> None:
    image = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    image[:, :2] = image[0, :2]  # greys
    torch.testing.assert_close(_of_hsv(_to_hsv(image)), image)
    red = torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(3, 2, 2)
    torch.testing.assert_close(_to_hsv(red)[:, 0, 0], torch.tensor([0.0, 1.0, 1.0]))


def test_plain_frames_are_changed_by_factors() -> None:
    """Against hand computation: without colours left of a frame it is grey, at twice the brightness twice as bright."""
    frame = torch.full((2, 2, 3), 51, dtype=torch.uint8)
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    torch.testing.assert_close(_changed(frame, 2.0, 1.0, 1.0, 0.0) * deviation + mean, torch.full((3, 2, 2), 0.4))
    frame[..., 0] = 255
    grey = _changed(frame, 1.0, 1.0, 0.0, 0.0) * deviation + mean
    torch.testing.assert_close(grey, torch.full((3, 2, 2), 0.299 + 0.701 * 0.2))
