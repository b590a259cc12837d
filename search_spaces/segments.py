"""Segments Z, speeds Q and sub-tasks of VSPP (auxSKD paper, Table 4: R3D, no auxSKD).

The paper's six rows first (UCF101 top-1 from 57.5 for Q = 4, Z = 1, which is VideoPace's task, to 60.8 for Q = Z = 4 with both
sub-tasks), then Z and Q from 1 to 8 with either sub-task or both (with Q = 1 nothing is altered: a control). Nothing is
shared, as every configuration pretrains anew.
"""

from __future__ import annotations

import itertools

from search_spaces.paper_tables import table_rows
from search_spaces.space import Parameters, Space, Suggest

SEGMENTS, SPEEDS = "vspp.segments", "vspp.speeds"
SPEED_WEIGHT, SEGMENT_WEIGHT = "vspp.speed_weight", "vspp.segment_weight"


def _suggest(trial: Suggest) -> Parameters:
    segments = trial.suggest_int(SEGMENTS, 1, 8)
    return {
        SEGMENTS: segments,
        SPEEDS: trial.suggest_int(SPEEDS, 1 if segments > 1 else 2, 8),
        SPEED_WEIGHT: trial.suggest_categorical(SPEED_WEIGHT, (1.0, 0.0)),
        SEGMENT_WEIGHT: trial.suggest_categorical(SEGMENT_WEIGHT, (1.0, 0.0)),
    }


def _grid() -> list[Parameters]:
    both = [
        {SEGMENTS: segments, SPEEDS: speeds, SPEED_WEIGHT: 1.0, SEGMENT_WEIGHT: float(segments > 1)}
        for segments, speeds in itertools.product((1, 2, 3, 4, 8), (2, 4, 8))
    ]
    either = [
        {SEGMENTS: segments, SPEEDS: 4, SPEED_WEIGHT: speed, SEGMENT_WEIGHT: 1.0 - speed}
        for segments, speed in itertools.product((2, 4, 8), (0.0, 1.0))
    ]
    return both + either


SPACE = Space(
    name="segments",
    summary="segments, speeds and sub-tasks of VSPP (Table 4)",
    base={"recipe": "pretext", "pretext.task": "vspp", "backbone.family": "r3d"},
    rows=table_rows("auxskd/table4"),
    suggest=_suggest,
    grid=_grid,
    table="auxskd/table4",
)
