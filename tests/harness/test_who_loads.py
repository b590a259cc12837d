"""How many trials run at once, and how many processes load the clips of each, follow from what a machine or a cluster has."""

from __future__ import annotations

import pytest

from harness.cluster import places
from harness.request import RequestError
from harness.sweep import _concurrency, _gpus_per_trial, _who_loads

HEAD, OF_CPUS, OF_GPUS = {"CPU": 0.0}, {"CPU": 12.0}, {"CPU": 32.0, "GPU": 4.0}


@pytest.mark.parametrize(
    ("asked", "free", "gpus", "expected"),
    [
        (None, 0, 0.0, (0, False)),  # a trial on every core
        (None, 1, 0.0, (0, True)),
        (None, 7, 1.0, (7, True)),
        (None, 63, 1.0, (8, True)),
        (None, -1, 1.0, (0, False)),  # more trials than cores
        (3, 0, 0.0, (3, False)),
        (0, 15, 1.0, (0, True)),
    ],
)
def test_who_loads_follows_from_the_cores_of_a_trial(
    asked: int | None, free: int, gpus: float, expected: tuple[int, bool]
) -> None:
    assert _who_loads(asked, free, gpus) == expected


@pytest.mark.parametrize(
    ("nodes", "gpus", "expected"),
    [
        ([HEAD, OF_CPUS, {"CPU": 4.0}], 0.0, (12, 1)),  # of twelve cores eight compute, as on one machine
        ([HEAD, OF_CPUS, OF_GPUS], 1.0, (4, 8)),  # the node without a GPU computes nothing
        ([HEAD, OF_GPUS, OF_GPUS], 0.5, (16, 4)),
        ([{"CPU": 64.0}], 0.0, (8, 8)),
        ([{"CPU": 2.0, "GPU": 8.0}], 1.0, (2, 1)),  # a trial needs a core, too
        ([HEAD], 0.0, (1, 1)),  # nodes may still come
    ],
)
def test_a_cluster_s_nodes_say_how_many_trials_run_there(
    nodes: list[dict[str, float]], gpus: float, expected: tuple[int, int]
) -> None:
    assert places(nodes, gpus, 8) == expected
    assert _concurrency(None, gpus, nodes) == expected
    assert _concurrency(3, gpus, nodes) == (3, expected[1])


def test_gpus_are_the_cluster_s_and_not_this_machine_s() -> None:
    """A head without any may lead nodes with many, and the other way round."""
    assert _gpus_per_trial(None, [HEAD, OF_GPUS]) == 1.0
    assert _gpus_per_trial(None, [HEAD, OF_CPUS]) == 0.0
    assert _gpus_per_trial(0.25, [HEAD, OF_GPUS]) == 0.25
    with pytest.raises(RequestError, match=r"^--gpus-per-trial 8: the node of the cluster with the most has 4 GPUs"):
        _gpus_per_trial(8, [HEAD, OF_GPUS])
