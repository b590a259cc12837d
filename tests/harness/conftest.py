"""Sweeps of tiny experiments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.planner import Sweep
from search_spaces.space import find_space
from trainables.runtime import Runtime, open_data
from trainables.settings import ExperimentSettings, with_values


@pytest.fixture
def make_sweep(tiny: ExperimentSettings, runtime: Callable[..., Runtime], tmp_path: Path) -> Callable[..., Sweep]:
    """A sweep of space `temperatures` with two trials; `values` change its settings, anything else its fields."""

    def make(values: dict[str, Any] | None = None, **changes: Any) -> Sweep:
        settings = with_values(tiny, values or {})
        place = runtime()
        fields: dict[str, Any] = {
            "name": "tiny",
            "directory": tmp_path / "tiny",
            "space": find_space("temperatures"),
            "preset": "demo",
            "settings": settings,
            "search": "tpe",
            "trials": 2,
            "seeds": 1,
            "runtime": place,
            "data": open_data(settings.data, place),
            "command": "python harness/sweep.py",
        }
        return Sweep(**(fields | changes))

    return make
