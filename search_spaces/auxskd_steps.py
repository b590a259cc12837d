"""How large auxSKD's steps are: temperatures, scale of its loss, optimiser and rate, warm-up, clipping, which anchors count.

    python harness/sweep.py --space auxskd_steps --seeds 2

Judged by what VSPP learns after it. The rows are the search that set auxSKD's values in presets demo and small, and VSPP alone;
docs/results.md has their figures. At preset demo a trial takes about 20 s on one core.
"""

from __future__ import annotations

import itertools

from search_spaces.space import Parameters, Row, Space, Suggest

RECIPE, TEACHER, STUDENT = "recipe", "auxskd.teacher_temperature", "auxskd.student_temperature"
SCALE, OPTIMISER, RATE = "auxskd.loss_scale", "auxskd.optimiser", "auxskd.learning_rate"
WARMUP, CLIP, ANCHORS = "auxskd.warmup_epochs", "auxskd.clip_gradient", "auxskd.anchors"
DECAY = "auxskd.weight_decay"

PAPER: Parameters = {
    RECIPE: "auxskd_pretext",
    TEACHER: 0.02,
    STUDENT: 0.02,
    SCALE: "none",
    OPTIMISER: "sgd",
    RATE: 1e-3,
    WARMUP: 0.0,
    CLIP: None,
    DECAY: 5e-4,
    ANCHORS: "all",
}
SCALED: Parameters = {SCALE: "temperature_squared", DECAY: 0.0}
ADAM: Parameters = {OPTIMISER: "adam", DECAY: 0.0}


def _suggest(trial: Suggest) -> Parameters:
    recipe = trial.suggest_categorical(RECIPE, ("auxskd_pretext", "pretext"))
    if recipe == "pretext":
        return {RECIPE: recipe}
    drawn: Parameters = {name: trial.suggest_float(name, 0.005, 0.5, log=True) for name in (TEACHER, STUDENT)}
    return {
        RECIPE: recipe,
        **drawn,
        SCALE: trial.suggest_categorical(SCALE, ("temperature_squared", "temperature", "none")),
        OPTIMISER: trial.suggest_categorical(OPTIMISER, ("sgd", "adam")),
        RATE: trial.suggest_float(RATE, 1e-4, 1.0, log=True),
        WARMUP: trial.suggest_float(WARMUP, 0.0, 1.0, step=0.5),
        CLIP: trial.suggest_categorical(CLIP, (None, 0.1, 1.0)),
        DECAY: trial.suggest_categorical(DECAY, (5e-4, 0.0)),
        ANCHORS: trial.suggest_categorical(ANCHORS, ("all", "filled")),
    }


def _grid() -> list[Parameters]:
    points = itertools.product((0.01, 0.02, 0.05, 0.2), (0.02, 0.1), ("all", "filled"))
    scaled = PAPER | SCALED
    return [
        {RECIPE: "pretext"},
        *({**scaled, RATE: rate, STUDENT: student, ANCHORS: anchors} for rate, student, anchors in points),
    ]


ROWS = (
    Row("VSPP alone", {RECIPE: "pretext"}),
    Row("as in the paper", PAPER),
    Row("student 0.1, as released", {**PAPER, STUDENT: 0.1}),
    Row("a fifth of the rate", {**PAPER, RATE: 2e-4}),
    Row("warm-up, clipped to 1, rate 0.01", {**PAPER, RATE: 0.01, WARMUP: 1.0, CLIP: 1.0}),
    Row("Adam, rate 0.0002", {**PAPER, **ADAM, RATE: 2e-4}),
    Row("Adam, rate 0.0005, student 0.1", {**PAPER, **ADAM, RATE: 5e-4, STUDENT: 0.1}),
    Row("T^2, rate 1, student 0.1", {**PAPER, **SCALED, RATE: 1.0, STUDENT: 0.1}),
    Row("T^2, rate 0.2, student 0.1", {**PAPER, **SCALED, RATE: 0.2, STUDENT: 0.1}),
    Row("T^2, rate 0.2, student 0.1, filled", {**PAPER, **SCALED, RATE: 0.2, STUDENT: 0.1, ANCHORS: "filled"}),
    Row("T^2, rate 0.05, student 0.1", {**PAPER, **SCALED, RATE: 0.05, STUDENT: 0.1}),
    Row("T^2, rate 0.02, student 0.1", {**PAPER, **SCALED, RATE: 0.02, STUDENT: 0.1}),
    Row("T^2, rate 0.02", {**PAPER, **SCALED, RATE: 0.02}),
)

SPACE = Space(
    name="auxskd_steps",
    summary="how large auxSKD's steps are: scale of its loss, rate, warm-up, clipping, by what VSPP learns after it",
    base={"pretext.task": "vspp", "evaluation.measures": ["linear_probe", "retrieval"]},
    rows=ROWS,
    suggest=_suggest,
    grid=_grid,
    objective="pretext/val_segment_accuracy",
    trials=len(ROWS),
)
