"""The command `python reports/figures.py` and what it draws: curves against numbers by hand, same bytes for the same ledger."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.ledger import Record
from reports.comparable_groups import read_trials
from reports.figures import FIGURES, app
from reports.loss_curves import loss_curves

LOSSES = FIGURES["auxskd/figure4-right"]
STARTS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
runner = CliRunner()


def figures(*arguments: object) -> tuple[int, str, str]:
    result = runner.invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("name", STARTS)
def test_same_ledger_gives_the_same_bytes(name: str, samples: Path, tmp_path: Path) -> None:
    for directory in ("once", "twice"):
        assert figures("--runs-dir", samples, "--format", name, "--out", tmp_path / directory)[0] == 0
    for figure in FIGURES.values():
        once, twice = ((tmp_path / directory / f"{figure.file_stem}.{name}").read_bytes() for directory in ("once", "twice"))
        assert once.startswith(STARTS[name])
        assert once == twice


def test_script_of_another_process_draws_the_same_bytes(samples: Path, tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "reports" / "figures.py"
    arguments = ["auxskd/figure4-left", "--runs-dir", str(samples), "--format", "svg", "--out"]
    subprocess.run([sys.executable, str(script), *arguments, str(tmp_path / "a")], check=True, cwd=tmp_path)
    assert figures(*arguments, tmp_path / "b")[0] == 0
    assert len({(tmp_path / name / "auxskd_figure4-left.svg").read_bytes() for name in "ab"}) == 1


def test_no_trials_give_a_figure_that_says_so(tmp_path: Path) -> None:
    code, printed, _ = figures("--runs-dir", tmp_path / "none", "--out", tmp_path)
    assert code == 0
    assert printed.split() == [str(tmp_path / f"{figure.file_stem}.png") for figure in FIGURES.values()]


def test_list_and_unknown_names() -> None:
    code, printed, _ = figures("--list")
    assert code == 0
    assert [line.split("  ")[0] for line in printed.splitlines()] == ["auxskd/figure4-left", "auxskd/figure4-right"]
    code, _, message = figures("auxskd/figure5")
    assert (code, message) == (
        2, "unknown figure 'auxskd/figure5'; valid figures: auxskd/figure4-left, auxskd/figure4-right\n",
    )  # fmt: skip
    assert figures("--format", "gif")[0] == 2


def test_losses_are_mean_and_range_over_the_seeds_of_a_row(make_trial_of_row: Callable[..., Record]) -> None:
    histories = [[1.0, 0.8], [1.2, 0.6], [9.0, 9.0]]
    trials = [
        make_trial_of_row(LOSSES.rows[1], seed, {"ucf101": 50.0}, history={"pretext/speed_loss": history}, outcome=outcome)
        for seed, (history, outcome) in enumerate(zip(histories, ["complete", "complete", "failed"], strict=True))
    ]
    (found,) = loss_curves(LOSSES, trials)
    (curve,) = found.curves
    assert (curve.panel, curve.curve, curve.seeds) == ("speed loss", "training", 2)
    assert curve.row is LOSSES.rows[1]
    assert curve.mean == pytest.approx((1.1, 0.7))
    assert (curve.low, curve.high) == ((1.0, 0.6), (1.2, 0.8))


def test_losses_of_other_settings_and_of_earlier_checkpoints_are_apart(make_trial_of_row: Callable[..., Record]) -> None:
    def trial(seed: int, **settings: Any) -> Record:
        history = {"pretext/val_speed_loss": [1.0]}
        return make_trial_of_row(LOSSES.rows[0], seed, {"ucf101": 50.0}, history=history, settings=settings)

    trials = [trial(0), trial(1, **{"pretext.checkpoint": None}), trial(2, **{"pretext.checkpoint": 2})]
    trials += [trial(3, **{"video.crop": 64})]
    assert sorted(curve.seeds for found in loss_curves(LOSSES, trials) for curve in found.curves) == [1, 2]


def test_sample_ledger_has_all_curves(samples: Path) -> None:
    (found,) = loss_curves(LOSSES, read_trials(samples))
    assert len(found.curves) == 2 * 2 * 2
    assert {curve.seeds for curve in found.curves} == {3}


def test_checkpoints_are_drawn_at_the_epochs_they_were_taken_after(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[bool, list[int]] = {}
    monkeypatch.setattr(
        "reports.figure_drawing._plot_accuracies",
        lambda axes, with_auxskd, points: drawn.update({with_auxskd: [epochs for epochs, _ in points]}),
    )
    assert figures("auxskd/figure4-left", "--runs-dir", samples, "--out", tmp_path)[0] == 0
    assert drawn == {False: [2, 4, 6, 8], True: [2, 4, 6, 8]}
