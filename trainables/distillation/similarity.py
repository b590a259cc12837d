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

    Stays in the tensors' precision under autocast: bfloat16 similarities over a temperature of 0.02 are off by 0.2.
    """
    with torch.autocast(anchors.device.type, enabled=False):
        target = F.log_softmax(teacher @ anchors.T / teacher_temperature, dim=1)
        prediction = F.log_softmax(student @ anchors.T / student_temperature, dim=1)
        return F.kl_div(prediction, target, reduction="none", log_target=True).sum(1)


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
        """Loss (scalar) and metrics for two views (B, 3, K, H, W); order of operations as in Algorithm 1."""
        student = F.normalize(self.predictor(self.student(student_view)).float(), dim=1)
        with torch.no_grad():
            self.update_teacher()
            teacher = F.normalize(self.teacher(teacher_view).float(), dim=1)
        anchors = self.bank.anchors.clone()
        values = similarity_distillation_loss(
            teacher, student, anchors, self.settings.teacher_temperature, self.settings.student_temperature
        )
        self.remember(teacher)
        return values.mean(), {"similarity": (student.detach() * teacher).sum(1)}
