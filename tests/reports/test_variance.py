"""Where the differences between seeds come from: deviations and shares worked out by hand, and the command."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from statistics import stdev

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from harness.ledger import Ledger, Record
from reports.seeds import spread
from reports.sources import VARY, sweep_sources
from reports.sources_sheet import sources_sheet
from reports.variance import app
from reports.writers import FORMATS
from trainables.settings import USUAL_SOURCES

Make = Callable[..., Record]
runner = CliRunner()
ALL, WEIGHTS = (0.30, 0.40, 0.50, 0.60), (0.44, 0.45, 0.46, 0.45)


@pytest.fixture
def trials(make_trial: Make) -> list[Record]:
    """Four seeds with all sources, and with the weights alone."""
    found = []
    for label, vary, values in (("all that follows a seed", USUAL_SOURCES, ALL), ("weights alone", "weights", WEIGHTS)):
        for seed, value in enumerate(values):
            metrics = {"test/top1": value, "pretext/val_speed_accuracy": value / 2, "pretext/val_speed_chance": 0.25}
            trial = f"{vary} {seed}"
            made = make_trial(
                0.02, 0.02, seed, None, outcome="complete", reason=None, metrics=metrics, trial=trial,
                settings={"recipe": "auxskd_pretext", VARY: vary},
            )  # fmt: skip
            found.append(made.model_copy(update={"parameters": {VARY: vary}, "row": label, "index": len(found) // 4}))
    return found


def test_deviations_and_shares_are_those_worked_out_by_hand(trials: list[Record]) -> None:
    (one,) = sweep_sources(trials)
    every, weights = one.sources
    assert one.every is every and (every.seeds, weights.seeds) == (4, 4)
    measure = "finetuned top-1"
    assert every.spreads[measure].value == pytest.approx(100 * stdev(ALL))
    assert weights.spreads[measure].value == pytest.approx(100 * stdev(WEIGHTS))
    assert one.share(weights, measure) == pytest.approx((stdev(WEIGHTS) / stdev(ALL)) ** 2)
    assert one.share(every, "speed") == pytest.approx(1)
    mean = 100 * (sum(ALL) + sum(WEIGHTS)) / 8
    assert one.of_videos(measure) == pytest.approx((mean * (100 - mean) / one.videos) ** 0.5)
    assert one.of_videos("speed") is None, "a share of clips of validation videos"


def test_the_interval_of_a_deviation_covers_what_it_says() -> None:
    draws = np.random.default_rng(0).normal(5, 2, (4000, 5))
    covered = [low <= 2 <= high for low, high in (spread(list(values)).interval for values in draws)]
    assert stats.binomtest(sum(covered), len(covered), 0.95).pvalue > 0.01


def test_sweeps_that_do_not_vary_the_sources_have_no_section(trials: list[Record], make_trial: Make) -> None:
    assert sweep_sources([make_trial(0.02, 0.02, 0, 60.0)]) == []
    text = FORMATS["md"]([sources_sheet({"other": []})])
    assert "python harness/sweep.py --space variance --seeds 10" in text
    one_seed = [record for record in trials if record.seed == 0 or record.parameters[VARY] == "weights"]
    (one,) = sweep_sources(one_seed)
    assert one.every is not None and not one.every.spreads and one.share(one.sources[1], "finetuned top-1") is None
    (alone,) = sweep_sources([record for record in trials if record.parameters[VARY] == "weights"])
    assert alone.every is None


def test_the_command_prints_deviations_shares_and_what_the_videos_add(trials: list[Record], tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "variance-demo")
    ledger.path.parent.mkdir()
    for record in trials:
        ledger.append(record)
    printed = runner.invoke(app, ["--runs-dir", str(tmp_path)])
    assert printed.exit_code == 0, printed.output
    assert "| all that follows a seed | 4     | 6.5 [3.7, 24.1] | 12.9 [7.3, 48.1] |" in printed.output
    assert "choice of test videos" in printed.output and "| weights alone | 0%" in printed.output
    lines = list(csv.DictReader(io.StringIO(runner.invoke(app, ["--runs-dir", str(tmp_path), "--format", "csv"]).output)))
    assert {(line["varies"], line["measure"]) for line in lines} == {
        (label, measure) for label in ("all that follows a seed", "weights alone") for measure in ("speed", "finetuned top-1")
    }
    assert json.loads(lines[0]["seeds"]) == 4
    assert runner.invoke(app, ["--runs-dir", str(tmp_path), "--sweep", "varianz"]).exit_code == 2
