"""A Ray cluster with a node that cannot import the trials' code: it is left out, and no trial fails for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.ledger import Ledger
from harness.trials import Sweep
from tests.harness.lacking import trial
from tests.harness.swept import swept

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def cluster() -> Iterator[subprocess.Popen[str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.harness.cluster_of_two"],
        cwd=REPOSITORY,
        env=environment | {"PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.communicate(timeout=60)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_node_without_the_code_is_left_out(make_sweep: Callable[..., Sweep], cluster: subprocess.Popen[str]) -> None:
    """With no other node the sweep ends and says why; with one, the same command completes there."""
    sweep = make_sweep()
    address = said(cluster)
    _, gave_up = swept(sweep, trial, 2, address)
    assert gave_up.startswith("no node is left to run trials: node ")
    assert gave_up.endswith("(ModuleNotFoundError: No module named 'torch')")
    assert Ledger(sweep.directory).records() == []
    assert cluster.stdin is not None
    cluster.stdin.write("add\n")
    cluster.stdin.flush()
    assert said(cluster) == "added"
    notes, _ = swept(sweep, trial, 2, address)
    assert len([note for note in notes if "it is left out" in note]) <= 1, "noted once, if a trial came to that node at all"
    assert [record.outcome for record in Ledger(sweep.directory).records()] == ["complete"] * 2
