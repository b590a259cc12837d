"""How often the rule of `--confirm` with `--budget` calls pure noise an effect, on made-up sweeps."""

from __future__ import annotations

import pytest

from benchmarks.confirm_level import plain, wrong

SWEEPS = 120
MOST = 12
"""Of a share of 5 % more are seen in one of 200 such tests; plain tests at as many looks pass some 22."""


@pytest.mark.slow
def test_noise_is_called_an_effect_in_five_percent_of_sweeps_at_most() -> None:
    """With the reference chosen by the search's seeds, and seeds added at each look."""
    of_search, of_rows, looks = wrong(SWEEPS)
    assert of_search <= MOST and of_rows <= MOST
    assert max(looks) >= 5, "the rule was put to the test"
    assert plain(SWEEPS) > MOST, "which would fail"
