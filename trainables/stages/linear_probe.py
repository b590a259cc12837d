"""Linear probe: a linear classifier on the features of a frozen backbone.

Multinomial logistic regression on standardised features, every training clip a sample. The objective is convex, so there is no
learning rate to choose; the penalty is the one of `PENALTIES` that is best on validation. A video's score is the mean
softmax over its clips. The usual alternative, SGD on augmented clips with all layers frozen, is finetuning with
`finetune.frozen_layers=5`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.stages.answers import answers
from trainables.stages.kind import NEGLIGIBLE, Kind
from trainables.stages.metrics import top_k
from trainables.stages.work import Outcome, Work
from trainables.video.videos import PARTS

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Weights of half the squared norm of the classifier's matrix, beside the mean cross-entropy."""
ITERATIONS = 200
EVALUATIONS = ITERATIONS * 5 // 4
"""Of the objective, at most: torch's default."""


def run(work: Work) -> Outcome:
    found = work.inputs["features"].tensors("features")
    parts = {part: found[part] for part in ("validation", "test")}

    def judge(scores: Tensor) -> float:
        return top_k(scores, found["validation_targets"], 1)

    classes = len(work.videos.classes)
    penalty, scores = fitted_scores(work, found["train"], found["train_targets"], classes, parts, judge)
    metrics = {"validation/linear_probe_top1": judge(scores["validation"]), "linear_probe/penalty": penalty}
    metrics |= {f"test/linear_probe_top{k}": top_k(scores["test"], found["test_targets"], k) for k in (1, 5)}
    said = {part: (of, work.videos.part(part)) for part, of in scores.items()}
    return Outcome(metrics, files=answers(work.videos.classes, said))


def fitted_scores(
    work: Work,
    train: Tensor,
    targets: Tensor,
    classes: int,
    parts: Mapping[str, Tensor],
    judge: Callable[[Tensor], float],
) -> tuple[float, dict[str, Tensor]]:
    """The penalty with which `judge` likes the scores of the part `validation` best, and all parts' scores (videos, classes).

    train and parts: features (videos, clips, C); targets: (videos,).
    """
    device, evaluations = work.device, itertools.count(1)

    def step() -> None:
        work.reached(next(evaluations), len(PENALTIES) * EVALUATIONS)

    mean, deviation = train.to(device).mean((0, 1)), train.to(device).std((0, 1)) + 1e-6
    samples, *others = (((found.to(device) - mean) / deviation).double() for found in (train, *parts.values()))
    fitted = []
    for penalty in PENALTIES:
        matrix = fit(samples, targets.to(device), classes, penalty, step)
        scores = {part: predict(matrix, found).cpu() for part, found in zip(parts, others, strict=True)}
        fitted.append((judge(scores["validation"]), penalty, scores))
    _, penalty, scores = max(fitted, key=lambda entry: entry[:2])
    return penalty, scores


def fit(
    features: Tensor, targets: Tensor, classes: int, penalty: float, evaluated: Callable[[], None] = lambda: None
) -> Tensor:
    """The matrix (C + 1, classes), its last row the bias, that minimises the penalised cross-entropy over all clips.

    features: (videos, clips, C) float64; targets: (videos,). evaluated: called each time the objective was.
    """
    samples = _with_bias(features).flatten(0, 1)
    labels = targets.repeat_interleave(features.shape[1])
    matrix = samples.new_zeros(samples.shape[1], classes).requires_grad_()
    optimiser = torch.optim.LBFGS(
        [matrix],
        max_iter=ITERATIONS,
        max_eval=EVALUATIONS,
        tolerance_grad=1e-7,
        tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )

    def objective() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(samples @ matrix, labels) + penalty / 2 * matrix[:-1].square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        evaluated()
        return loss

    optimiser.step(objective)  # type: ignore[no-untyped-call]
    return matrix.detach()


def predict(matrix: Tensor, features: Tensor) -> Tensor:
    """Mean softmax (videos, classes) over the clips of features (videos, clips, C)."""
    return (_with_bias(features) @ matrix).softmax(-1).mean(1)


def _with_bias(features: Tensor) -> Tensor:
    return torch.cat([features, torch.ones_like(features[..., :1])], dim=-1)


KIND = Kind("linear_probe", 1, run, lambda settings: (), PARTS, lambda settings, videos: NEGLIGIBLE, where=__name__)
