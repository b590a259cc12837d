"""Trials that complete at once, on nodes that have what this module needs."""

from __future__ import annotations

import os
from typing import Any

from tests.harness.cluster_of_two import LACKS
from tests.harness.stuck import COMPLETES, stuck_trial

if os.environ.get(LACKS):
    raise ModuleNotFoundError("No module named 'torch'")


def trial(config: dict[str, Any]) -> None:
    stuck_trial({**config, "index": COMPLETES})
