"""The fuzzer sees what it is to see, and in its short form nothing on the program."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from benchmarks.faults import fuzz
from harness import command_line

CASE = fuzz.Case(("sweep",), {})


def test_the_same_seed_gives_the_same_cases() -> None:
    first, second, other = ([fuzz.make_case(fuzz.random.Random(seed)) for _ in range(3)] for seed in ("1 0", "1 0", "2 0"))
    assert first == second
    assert first != other


def _raise() -> None:
    raise TypeError("a defect")


def test_a_traceback_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "app", _raise)
    code, problem = fuzz.run_case(CASE, tmp_path)
    assert code == 70
    assert problem.startswith("exit code 70 and a traceback:")
    assert "TypeError: a defect" in problem


def test_the_end_by_a_signal_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "app", lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert fuzz.run_case(CASE, tmp_path) == (-signal.SIGTERM, f"exit code -{signal.SIGTERM:d}:\n")


def test_a_command_that_never_ends_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "app", lambda: time.sleep(60))
    monkeypatch.setattr(fuzz, "SECONDS", 0.2)
    assert fuzz.run_case(CASE, tmp_path)[0] == -signal.SIGKILL


def test_wrong_usage_is_no_problem(tmp_path: Path) -> None:
    assert fuzz.run_case(fuzz.Case(("sweep", "--space", "nothing"), {}), tmp_path) == (2, "")


def test_the_program_ends_in_words() -> None:
    assert [figure.seen for figure in fuzz.run(fuzz.SHORT, seed=1) if not figure.met] == []
