"""What teachers know from their tasks: each finetuned from its self-supervised encoder, and from scratch.

What the teachers of graph distillation are worth by themselves, no row of the papers; `python reports/teachers.py` shows it
beside what rules reach that learn nothing.
"""

from __future__ import annotations

from search_spaces.space import Parameters, Row, Space, Suggest

LAYERS = "teacher_finetune.transferred_layers"
ALL, NONE = None, 0


def _suggest(trial: Suggest) -> Parameters:
    return {LAYERS: trial.suggest_categorical(LAYERS, (ALL, NONE))}


SPACE = Space(
    name="teaching",
    summary="teachers finetuned from their tasks and from scratch (graph distillation, Sec. 5.2)",
    base={"recipe": "fusion"},
    rows=(Row("from their tasks", {LAYERS: ALL}), Row("from scratch", {LAYERS: NONE})),
    suggest=_suggest,
    grid=lambda: [{LAYERS: ALL}, {LAYERS: NONE}],
    trials=2,
)
