"""The benchmarks run and compute what they say; nothing here depends on how fast the machine is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import trial_overhead
from benchmarks.comparison import Figure, alternate, median_ratio, timed
from benchmarks.no_op_sweeps import auxgraph_times

ROOT = Path(__file__).resolve().parents[2]


def run(script: str, *arguments: str) -> dict[str, Any]:
    """The JSON line of a benchmark, run on the embedded clips from the repository's root."""
    environment = {name: value for name, value in os.environ.items() if name != "AUXGRAPH_CLIPS"}
    done = subprocess.run(
        [sys.executable, f"benchmarks/{script}.py", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert result["benchmark"] == script
    return result


def ratios(result: dict[str, Any]) -> dict[str, float]:
    return {figure["name"]: figure["ratio"] for figure in result["figures"]}


def test_sides_take_turns_and_ratios_are_medians_of_the_rounds() -> None:
    turns: list[str] = []
    values = {"one": iter([2.0, 4.0, 90.0]), "two": iter([1.0, 1.0, 30.0])}

    def side(name: str) -> float:
        turns.append(name)
        return next(values[name])

    found = alternate({"one": lambda: side("one"), "two": lambda: side("two")}, rounds=3)
    assert turns == ["one", "two"] * 3
    assert found == {"one": [2.0, 4.0, 90.0], "two": [1.0, 1.0, 30.0]}
    assert median_ratio(found["one"], found["two"]) == 3.0, "the median of 2, 4 and 3, not 4 / 1"
    assert timed(lambda: None)() < 1


def test_a_bound_is_kept_or_missed_at_its_edge() -> None:
    assert [Figure("", 0, "s", ratio, at_most=0.15).met for ratio in (0.15, 0.16)] == [True, False]
    assert [Figure("", 0, "s", ratio, at_least=10).met for ratio in (10, 9.9)] == [True, False]
    assert Figure("", 0, "s", 2.0).met is None


def test_input_orders_the_readers() -> None:
    found = ratios(run("input", "--preset", "demo", "--clips", "6", "--videos", "4", "--rounds", "1"))
    assert found["naive"] == 1.0
    assert found["cache"] > 0
    assert found["direct"] > 0


def test_step_compares_with_the_bare_network() -> None:
    found = ratios(run("step", "--preset", "demo", "--rounds", "1"))
    assert found["demo: bare"] == 1.0
    assert found["demo: step"] > 0
    assert found["demo: step from pixels"] > 0


def test_losses_agree_with_the_formulas_they_are_compared_with() -> None:
    found = run("graph_losses", "--batch", "16", "--classes", "5", "--channels", "4", "--rounds", "1")
    agreement = {figure["name"]: figure["met"] for figure in found["figures"] if figure["name"].endswith("difference")}
    assert len(agreement) == 4
    assert all(agreement.values()), found


def test_memory_sees_the_process_that_imports_torch() -> None:
    (peak, *programs) = run("memory", "--", "--list")["figures"]
    assert 0.1 < peak["value"] < 6, "gigabytes"
    assert [figure["name"] for figure in programs] == ["then: sweep.py x 1"]
    assert peak["ratio"] == pytest.approx(peak["value"] / 6)


def test_trial_overhead_is_what_a_further_trial_costs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sweeps of known cost: AuxGraph starts in 7 s and needs half a second per trial, stock Tune in 3 s and needs 5 s."""

    def times(sweep: trial_overhead.Sweep, trials: int) -> list[float]:
        start, each = (7, 0.5) if sweep is auxgraph_times else (3, 5.0)
        return [start + each * (number + 1) for number in range(trials)] + [start + each * trials]

    monkeypatch.setattr(trial_overhead, "_in_fresh_process", times)
    trial_overhead.main(trials=12, stock_trials=4, first=2, rounds=2)
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [figure["value"] for figure in found["figures"]] == [0.5, 5.0, 8.0, 13.0]
    assert ratios(found)["AuxGraph, a further trial"] == pytest.approx(0.1)
    assert found["figures"][0]["met"] is True


@pytest.mark.slow
def test_trial_overhead_runs_both_sweeps() -> None:
    """One trial each; the sweeps themselves check that it completed and left a W&B run."""
    found = run("trial_overhead", "--trials", "1", "--stock-trials", "1", "--first", "0", "--rounds", "1")
    assert ratios(found)["AuxGraph, a further trial"] > 0
