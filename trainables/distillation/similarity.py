"""Similarity-based knowledge distillation, auxSKD (Sec. 3.1, Eqs. 1-3, Algorithm 1; after ISD, Tejankar et al. 2021).

A momentum teacher and the student each see a view of the same video; the student learns the teacher's distribution of
similarities to the anchors in a memory bank of earlier teacher embeddings. The "-log" in Eqs. 1-2 is read as a misprint, as
in the released code: the loss is KL(softmax(teacher similarities / gamma^T) || softmax(student similarities / gamma^S)).

Differences from Plrbear/auxSKD: anchors start as L2-normalised rows (the release normalises columns, which makes the first
anchors about 11 times too short); enqueueing is modular, so the batch size need not divide the bank; ShuffleBN, which the
release uses across two GPUs, has no effect on one device and is left out.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models import Backbone
from trainables.models.momentum import MemoryBank, OncePerStep
from trainables.settings import AuxSKDSettings


def similarity_distillation_loss(
    teacher: Tensor, student: Tensor, anchors: Tensor, teacher_temperature: float, student_temperature: float
) -> Tensor:
    """Eq. 3, one value per sample. teacher, student: (B, D) and anchors: (H, D), rows of unit length. Returns (B,).

    Without anchors (H = 0) it is 0, and so is its gradient.
    """
    target = log_distribution(teacher, anchors, teacher_temperature)
    return divergence(target, log_distribution(student, anchors, student_temperature))


def log_distribution(embeddings: Tensor, anchors: Tensor, temperature: float) -> Tensor:
    """Logarithms of Eqs. 1 and 2: embeddings (B, D) and anchors (H, D), rows of unit length. Returns (B, H).

    Stays in the tensors' precision under autocast: bfloat16 similarities over a temperature of 0.02 are off by 0.2.
    """
    with torch.autocast(anchors.device.type, enabled=False):
        return F.log_softmax(embeddings @ anchors.T / temperature, dim=1)


def divergence(target: Tensor, prediction: Tensor) -> Tensor:
    """KL(target || prediction) of logarithms of distributions (B, H), in nats. Returns (B,)."""
    return F.kl_div(prediction, target, reduction="none", log_target=True).sum(1)


def entropy(log_probabilities: Tensor) -> Tensor:
    """Of logarithms of distributions (B, H), in nats: log H at most. Returns (B,)."""
    return -(log_probabilities.exp() * log_probabilities).sum(1)


def loss_scale(settings: AuxSKDSettings) -> float:
    """By what the loss is multiplied, so that its gradient's size does not depend on the temperatures.

    With respect to the student's similarities s the gradient of the loss is (q - p) / gamma^S, p and q being the distributions
    of teacher and student. `temperature`, gamma^S, leaves q - p: at most sqrt 2, and of one size as long as both are peaked.
    Where they are not, as the similarities to most anchors differ by less than the temperatures,
    q - p = (s / gamma^S - t / gamma^T) / H for centred similarities s and t. The term with the smaller temperature is the
    larger, so that gamma^S min(gamma^S, gamma^T) leaves a gradient of one size: `temperature_squared`. With one temperature
    for both it is the T^2 of Hinton et al. (2015, Secs. 2 and 2.1).
    """
    teacher, student = settings.teacher_temperature, settings.student_temperature
    return {"none": 1.0, "temperature": student, "temperature_squared": student * min(student, teacher)}[settings.loss_scale]


def predictor(settings: AuxSKDSettings) -> nn.Sequential:
    """The student's predictor: `predictor_layers` linear layers with batch norm and ReLU between them."""
    layers: list[nn.Module] = []
    width = settings.projection
    for _ in range(settings.predictor_layers - 1):
        layers += [
            nn.Linear(width, settings.predictor_hidden),
            nn.BatchNorm1d(settings.predictor_hidden),
            nn.ReLU(inplace=True),
        ]
        width = settings.predictor_hidden
    return nn.Sequential(*layers, nn.Linear(width, settings.projection))


class SimilarityDistillation(OncePerStep):
    """Student, predictor, momentum teacher and memory bank. The teacher starts equal to the student and gets no gradient;
    its running average covers parameters, not batch-norm statistics (it normalises by its own batches, as released)."""

    def __init__(self, backbone: Backbone, settings: AuxSKDSettings) -> None:
        super().__init__()
        self.settings = settings
        self.student = nn.Sequential(backbone, nn.Linear(backbone.features, settings.projection))
        self.predictor = predictor(settings)
        self.bank = MemoryBank(settings.memory_bank, settings.projection)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)

    @property
    def backbone(self) -> Backbone:
        network = self.student[0]
        assert isinstance(network, Backbone)
        return network

    def update_teacher(self) -> None:
        """theta_T <- m theta_T + (1 - m) theta_S, once per step."""
        self.follow(self.teacher, self.student, self.settings.teacher_momentum)

    def forward(self, student_view: Tensor, teacher_view: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (scalar) and metrics for two views (B, 3, K, H, W); order of operations as in Algorithm 1.

        With `anchors` filled the first step has none, and changes nothing but the bank.
        """
        student = F.normalize(self.predictor(self.student(student_view)).float(), dim=1)
        with torch.no_grad():
            self.update_teacher()
            teacher = F.normalize(self.teacher(teacher_view).float(), dim=1)
        anchors, filled = self._anchors()
        target = log_distribution(teacher, anchors, self.settings.teacher_temperature)
        prediction = log_distribution(student, anchors, self.settings.student_temperature)
        loss = divergence(target, prediction).mean() * loss_scale(self.settings)
        self.remember(teacher)
        return loss, {
            "similarity": (student.detach() * teacher).sum(1),
            "teacher_entropy": entropy(target),
            "student_entropy": entropy(prediction.detach()),
            "filled_anchors": filled,
        }

    def _anchors(self) -> tuple[Tensor, Tensor]:
        """A copy of those that count (H, D), and the share of the bank that is filled."""
        bank = self.bank
        counted = bank.anchors[: int(bank.filled)] if self.settings.anchors == "filled" else bank.anchors
        return counted.clone(), bank.filled / len(bank.anchors)
