"""Knowledge distillation from the plain average of the teachers' predictions, with which the logits graph is compared (KD)."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.distillation.distances import check_said, single
from trainables.distillation.teachers import Answers, Teachers
from trainables.models.encoder import Outputs
from trainables.settings import GraphSettings


class AveragedPredictions(nn.Module):
    """Batch mean of KL(mean_k mu_k || eta).

    `kd: hinton`: teachers and student are softened by one T, and the loss is multiplied by T^2, so that the size of its
    gradient does not depend on T (Hinton et al. 2015). `kd: one_sided`: teachers by T_k, the student by T_s, as in G_l, without
    a factor.
    """

    temperatures: Tensor

    def __init__(self, settings: GraphSettings, teachers: Teachers) -> None:
        super().__init__()
        self.tasks = tuple(teachers.tasks)
        if settings.kd == "hinton":
            self.student_temperature, self.factor = settings.kd_temperature, settings.kd_temperature**2
            temperatures = [settings.kd_temperature] * len(self.tasks)
        else:
            self.student_temperature, self.factor = settings.student_temperature, 1.0
            temperatures = [settings.temperature(task) for task in self.tasks]
        self.register_buffer("temperatures", torch.tensor(temperatures), persistent=False)

    def forward(self, student: Outputs, answers: Answers, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """As LogitsGraph, without metrics."""
        logits, teachers = single(student.logits), single(answers.logits.detach())
        check_said(logits, teachers, labels, self.tasks)
        with torch.autocast(logits.device.type, enabled=False):
            mean = (teachers / self.temperatures[:, None, None]).softmax(-1).mean(0)
            prediction = F.log_softmax(logits / self.student_temperature, dim=-1)
            return self.factor * F.kl_div(prediction, mean, reduction="batchmean"), {}

    def start(self, student: Outputs, answers: Answers, labels: Tensor) -> Callable[[], tuple[Tensor, dict[str, Tensor]]]:
        """As LogitsGraph, with nothing to begin."""
        return functools.partial(self, student, answers, labels)
