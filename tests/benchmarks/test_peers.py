"""What `benchmarks/peers.py` compares: results to the last digit, and what all processes of a command computed."""

from __future__ import annotations

import math
import sys
from pathlib import Path

from benchmarks.peers import differing, timed_command

TRIAL = {"test/top1": 0.1, "pretext/seconds": 3.0}


def test_results_are_compared_to_the_last_digit_and_times_are_not() -> None:
    other = {**TRIAL, "pretext/seconds": 4.0}
    assert differing({"loop": [TRIAL, TRIAL], "sweep": [TRIAL, other]}) == []
    last_digit = {**TRIAL, "test/top1": math.nextafter(0.1, 1.0)}
    (words,) = differing({"loop": [TRIAL, TRIAL], "sweep": [TRIAL, last_digit]})
    assert words == "trial 1, test/top1: 0.1 by loop, 0.10000000000000002 by sweep"


def test_a_side_with_fewer_trials_or_metrics_is_said() -> None:
    assert differing({"loop": [TRIAL, TRIAL], "sweep": [TRIAL]}) == ["1 trials by sweep, 2 by loop"]
    assert differing({"loop": [TRIAL], "sweep": [{}]}) == ["trial 0, test/top1: 0.1 by loop, None by sweep"]


def test_what_processes_below_a_command_compute_counts(tmp_path: Path) -> None:
    """Half a second of a grandchild, which the command itself does not compute, and which lives on until it is looked at."""
    spin = "import time\nwhile time.process_time() < 0.5: pass\ntime.sleep(0.3)"
    wall, computed = timed_command(["sh", "-c", f"{sys.executable} -c '{spin}'; sleep 0.3"], tmp_path)
    assert 0.4 <= computed <= wall
