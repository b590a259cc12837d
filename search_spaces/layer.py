"""Between which layers the representation graph distils (graph distillation, Sec. 5.2).

The paper's conv4 first: AlexNet's fourth convolution, the layer of VGG with as many channels (conv3_4), PredNet's top. Which
teacher's layers carry over to classification at all: the space `transferability`. At preset `paper` view banks keep 13 x 13
places of a map (`views.side`), which is less than the student's first two layers have.
"""

from __future__ import annotations

from search_spaces.space import Parameters, Row, Space, Suggest

STUDENT, VGG, PREDNET = "graph.student_layer", "views.vgg_layer", "views.prednet_layer"


def _parameters(student: int, vgg: int, prednet: int) -> Parameters:
    return {STUDENT: student, VGG: vgg, PREDNET: prednet}


def _suggest(trial: Suggest) -> Parameters:
    return _parameters(
        trial.suggest_int(STUDENT, 1, 5),
        trial.suggest_int(VGG, 1, 5),
        trial.suggest_int(PREDNET, 2, 4),
    )


SPACE = Space(
    name="layer",
    summary="layers of student and teachers whose maps are distilled (graph distillation, Sec. 5.2)",
    base={"recipe": "distillation", "graph.logits": "none"},
    rows=(
        Row("conv4", _parameters(4, 3, 4)),
        Row("conv5", _parameters(5, 5, 4)),
        Row("conv3", _parameters(3, 3, 4)),
        Row("conv2", _parameters(2, 2, 3)),
    ),
    suggest=_suggest,
    grid=lambda: [_parameters(student, vgg, 4) for student in range(1, 6) for vgg in range(1, 6)],
)
