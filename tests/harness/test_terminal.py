"""Output that nobody reads any more ends nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = r"""
import sys, time
from rich.console import Console
from harness.terminal import LastingOutput
console = Console(file=LastingOutput())
console.print("first")
sys.stdin.readline()
for _ in range(3):
    console.print("a line of it\n" * 10_000, highlight=False)
print("done", file=sys.stderr)
"""


def test_a_closed_pipe_ends_nothing() -> None:
    """As with `| head -1`."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "first\n"
    process.stdout.close()
    process.stdout = None
    _, errors = process.communicate("go on\n", timeout=60)
    assert (errors, process.returncode) == ("done\n", 0)
