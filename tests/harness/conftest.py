"""Sweeps of tiny experiments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.trials import Sweep
from search_spaces.space import find_space
from trainables.runtime import Runtime


@pytest.fixture
def make_sweep(tiny_values: dict[str, Any], runtime: Callable[..., Runtime], tmp_path: Path) -> Callable[..., Sweep]:
    """A sweep of space `temperatures` with two trials; `values` change its settings, anything else its fields."""

    def make(values: dict[str, Any] | None = None, **changes: Any) -> Sweep:
        space = changes.get("space", find_space("temperatures"))
        fields: dict[str, Any] = {
            "name": "tiny",
            "directory": tmp_path / "tiny",
            "space": space,
            "preset": "demo",
            "values": {**space.base, **tiny_values, **(values or {})},
            "search": "tpe",
            "trials": 2,
            "seeds": 1,
            "runtime": runtime(),
            "command": "python harness/sweep.py",
        }
        return Sweep(**(fields | changes))

    return make
