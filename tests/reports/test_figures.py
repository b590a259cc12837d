"""The command `python reports/figures.py` and what it draws: curves against numbers by hand, same bytes for the same ledger."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from typer.testing import CliRunner

from harness.ledger import Record
from reports.comparison import fill
from reports.curves import AGAINST_EPOCHS, draw_histories, draw_points, history_curves
from reports.figures import FIGURES, app
from reports.groups import read_trials

LOSSES = FIGURES["auxskd/figure4-right"]
STARTS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
runner = CliRunner()


def figures(*arguments: object) -> tuple[int, str, str]:
    result = runner.invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("name", STARTS)
def test_same_ledger_gives_the_same_bytes(name: str, samples: Path, tmp_path: Path) -> None:
    """Every figure as png; in the slower formats one of points and one of pictures."""
    drawn = list(FIGURES) if name == "png" else ["auxskd/figure4-left", "graph/figure3"]
    for directory in ("once", "twice"):
        assert figures(*drawn, "--runs-dir", samples, "--format", name, "--out", tmp_path / directory)[0] == 0
    for figure in map(FIGURES.get, drawn):
        assert figure is not None
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
    code, printed, _ = figures("--runs-dir", tmp_path, "--out", tmp_path)
    assert code == 0
    assert printed.split() == [str(tmp_path / f"{figure.file_stem}.png") for figure in FIGURES.values()]


def test_list_and_unknown_names() -> None:
    code, printed, _ = figures("--list")
    assert code == 0
    names = ["auxskd/figure4-left", "auxskd/figure4-right", "graph/figure3", "graph/figure4a", "graph/figure4b"]
    assert [line.split("  ")[0] for line in printed.splitlines()] == names
    code, _, message = figures("auxskd/figure5")
    assert code == 2
    assert message == f"unknown figure 'auxskd/figure5'; valid figures: {', '.join(names)}; did you mean '{names[0]}'?\n"
    assert figures("--format", "gif")[0] == 2


def test_losses_are_mean_and_range_over_the_seeds_of_a_row(make_trial_of_row: Callable[..., Record]) -> None:
    histories = [[1.0, 0.8], [1.2, 0.6], [9.0, 9.0]]
    trials = [
        make_trial_of_row(LOSSES.rows[1], seed, {"ucf101": 50.0}, history={"pretext/speed_loss": history}, outcome=outcome)
        for seed, (history, outcome) in enumerate(zip(histories, ["complete", "complete", "failed"], strict=True))
    ]
    (found,) = history_curves(LOSSES, trials)
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
    assert sorted(curve.seeds for found in history_curves(LOSSES, trials) for curve in found.curves) == [1, 2]


def test_sample_ledger_has_all_curves(samples: Path) -> None:
    (found,) = history_curves(LOSSES, read_trials(samples))
    assert len(found.curves) == 2 * 2 * 2
    assert {curve.seeds for curve in found.curves} == {3}


def test_accuracies_after_each_epoch_are_in_percent_and_of_the_figure_s_set(samples: Path) -> None:
    """The sample's trials end on three downstream sets; the failed seed of MMGD + Gr has no curve."""
    figure = FIGURES["graph/figure4a"]
    trials = read_trials(samples, "sample-graph")
    (found,) = history_curves(figure, trials)
    assert {curve.row.label: curve.seeds for curve in found.curves} == {
        "MMGD": 3, "Gl": 3, "Gr": 3, "MMGD + Gr": 2, "Gl + Gr": 3,
    }  # fmt: skip
    ours = next(curve for curve in found.curves if curve.row.label == "Gl + Gr")
    own = [trial.history["student/val_top1/ucf101"][0] for trial in trials if trial.row == "Gl + Gr" and trial.history]
    assert ours.mean[0] == pytest.approx(100 * sum(own) / 3)
    assert (ours.low[0], ours.high[0]) == (pytest.approx(100 * min(own)), pytest.approx(100 * max(own)))


def test_accuracy_is_drawn_against_the_share_of_videos(samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Single points of other sweeps, such as preset paper's here, make no panel beside a curve."""
    drawn: list[list[float]] = []
    monkeypatch.setattr(
        "reports.curves._plot_points", lambda axes, series, points: drawn.append([share for share, _ in points])
    )
    assert figures("graph/figure4b", "--runs-dir", samples, "--out", tmp_path)[0] == 0
    assert drawn == [[25, 50, 75, 100]]


def test_checkpoints_are_drawn_at_the_epochs_they_were_taken_after(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, list[float]] = {}
    monkeypatch.setattr(
        "reports.curves._plot_points",
        lambda axes, series, points: drawn.update({series.label: [epochs for epochs, _ in points]}),
    )
    assert figures("auxskd/figure4-left", "--runs-dir", samples, "--out", tmp_path)[0] == 0
    assert drawn == {"VSPP": [2, 4, 6, 8], "VSPP + auxSKD": [2, 4, 6, 8]}


def test_single_rows_under_many_settings_are_no_figure_and_the_command_is_named(
    make_trial_of_row: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a sweep of something else, whose every configuration is the figure's one row under other settings."""
    said: list[str] = []
    monkeypatch.setattr("reports.curves.say", lambda axes, text: said.append(text))

    def trial(width: int) -> Record:
        history = {"pretext/speed_loss": [1.0, 0.5]}
        return make_trial_of_row(LOSSES.rows[0], 0, {"ucf101": 50.0}, history=history, settings={"backbone.width": width})

    trials = [trial(width) for width in (8, 16, 32)]
    assert draw_histories(LOSSES, history_curves(LOSSES, trials), "epochs", "png")
    assert draw_points(fill(FIGURES["auxskd/figure4-left"], trials), AGAINST_EPOCHS, "png")
    assert [text.splitlines()[-1] for text in said] == [
        "python harness/sweep.py --table auxskd/figure4-right",
        "python harness/sweep.py --table auxskd/figure4-left",
    ]


def test_headings_name_what_sets_groups_apart(
    make_trial_of_row: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []
    monkeypatch.setattr(Axes, "set_title", lambda axes, text, **rest: titles.append(" ".join(text.split())))
    trials = [
        make_trial_of_row(
            row, 0, {"ucf101": 50.0}, history={"pretext/speed_loss": [1.0]}, settings={"augmentation.crop_area": area}
        )
        for row in LOSSES.rows
        for area in (0.4, 0.8)
    ]
    draw_histories(LOSSES, history_curves(LOSSES, trials), "epochs", "png")
    assert [("crop_area = 0.4." in title) for title in titles if title] == [True, False]
    assert [("crop_area = 0.8." in title) for title in titles if title] == [False, True]
