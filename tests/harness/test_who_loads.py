"""How many processes load a trial's clips follows from the cores that it has."""

from __future__ import annotations

import pytest

from harness.sweep import _who_loads


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
