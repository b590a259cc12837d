"""One driver per sweep: a second one is refused at once, and a dead one holds nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.driver import LOCK_FILE, SweepIsRun, only_driver

DRIVER = """
import sys, time
from pathlib import Path
from harness.driver import only_driver
with only_driver(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_driver_is_told_who_runs_the_sweep(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    begin = time.monotonic()
    says = rf"sweep '{tmp_path.name}' is being run by process {other.pid} on .+, since 20"
    with pytest.raises(SweepIsRun, match=says), only_driver(tmp_path):
        pytest.fail("two drivers")
    assert time.monotonic() - begin < 1


def test_a_driver_that_was_killed_holds_nothing(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    """Nor does one that was suspended lose anything."""
    os.kill(other.pid, signal.SIGSTOP)
    with pytest.raises(SweepIsRun), only_driver(tmp_path):
        pass
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    with only_driver(tmp_path):
        pass
    assert (tmp_path / LOCK_FILE).read_text() == ""
