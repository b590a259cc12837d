"""Linear probe: a linear classifier on the features of a frozen backbone.

Multinomial logistic regression on standardised features, every training clip a sample. The objective is convex, so there is no
learning rate to choose; the penalty is the one of `PENALTIES` that is best on validation. A video's score is the mean
softmax over its clips. The usual alternative, SGD on augmented clips with all layers frozen, is finetuning with
`finetune.frozen_layers=5`.
"""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.stages.evaluate import top_k
from trainables.stages.work import Work
from trainables.store import Artifact
from trainables.video.layouts import PARTS

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Weights of half the squared norm of the classifier's matrix, beside the mean cross-entropy."""
ITERATIONS = 200


def run(work: Work) -> Artifact:
    started = time.monotonic()
    found = {name: value.to(work.device) for name, value in work.inputs["features"].tensors("features").items()}
    classes = len(work.videos.classes)
    mean, deviation = found["train"].mean((0, 1)), found["train"].std((0, 1)) + 1e-6
    train, validation, test = (((found[part] - mean) / deviation).double() for part in PARTS)
    scored = []
    for penalty in PENALTIES:
        matrix = fit(train, found["train_targets"], classes, penalty)
        scored.append((top_k(predict(matrix, validation), found["validation_targets"], 1), penalty, matrix))
    best, penalty, matrix = max(scored, key=lambda entry: entry[:2])
    scores = predict(matrix, test)
    metrics = {"validation/linear_probe_top1": best, "linear_probe/penalty": penalty}
    metrics |= {f"test/linear_probe_top{k}": top_k(scores, found["test_targets"], k) for k in (1, 5)}
    return work.workplace.publish(
        settings=work.settings.model_dump(), metrics=metrics, seconds=time.monotonic() - started, history=[]
    )


def fit(features: Tensor, targets: Tensor, classes: int, penalty: float) -> Tensor:
    """The matrix (C + 1, classes), its last row the bias, that minimises the penalised cross-entropy over all clips.

    features: (videos, clips, C) float64; targets: (videos,).
    """
    samples = _with_bias(features).flatten(0, 1)
    labels = targets.repeat_interleave(features.shape[1])
    matrix = samples.new_zeros(samples.shape[1], classes).requires_grad_()
    optimiser = torch.optim.LBFGS(
        [matrix], max_iter=ITERATIONS, tolerance_grad=1e-7, tolerance_change=1e-9, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(samples @ matrix, labels) + penalty / 2 * matrix[:-1].square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(objective)  # type: ignore[no-untyped-call]
    return matrix.detach()


def predict(matrix: Tensor, features: Tensor) -> Tensor:
    """Mean softmax (videos, classes) over the clips of features (videos, clips, C)."""
    return (_with_bias(features) @ matrix).softmax(-1).mean(1)


def _with_bias(features: Tensor) -> Tensor:
    return torch.cat([features, torch.ones_like(features[..., :1])], dim=-1)
