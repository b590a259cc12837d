"""Similarity-based distillation against Algorithm 1, closed forms and a float64 formula of its own."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.distillation.similarity import (
    MemoryBank,
    SimilarityDistillation,
    predictor,
    similarity_distillation_loss,
)
from trainables.models.resnet3d import VideoResNet
from trainables.settings import AuxSKDSettings, BackboneSettings


def unit_rows(seed: int, *shape: int) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=1)


def distillation(**changes: Any) -> SimilarityDistillation:
    values = {"memory_bank": 10, "projection": 6, "predictor_hidden": 7, "teacher_momentum": 0.9} | changes
    torch.manual_seed(0)
    return SimilarityDistillation(VideoResNet(BackboneSettings(depth=10, width=4)), AuxSKDSettings(**values))


def views(seed: int, batch: int = 4) -> Tensor:
    return torch.randn(batch, 3, 4, 16, 16, generator=torch.Generator().manual_seed(seed))


def test_loss_is_zero_for_equal_similarities_and_temperatures() -> None:
    embeddings, anchors = unit_rows(0, 5, 8), unit_rows(1, 30, 8)
    loss = similarity_distillation_loss(embeddings, embeddings, anchors, 0.05, 0.05)
    assert loss.shape == (5,)
    assert torch.all(loss.abs() < 1e-6)
    assert torch.all(similarity_distillation_loss(embeddings, embeddings, anchors, 0.02, 0.1) > 0.01)


@pytest.mark.parametrize(("teacher_temperature", "student_temperature"), [(0.02, 0.02), (0.02, 0.1), (0.1, 0.01)])
def test_loss_against_the_sum_written_out(teacher_temperature: float, student_temperature: float) -> None:
    """KL(p || q) = sum_h p_h log(p_h / q_h), p and q softmaxes of cosine similarities over temperature, in float64."""
    teacher, student, anchors = (unit_rows(seed, rows, 16).double() for seed, rows in ((0, 3), (1, 3), (2, 20)))
    loss = similarity_distillation_loss(teacher, student, anchors, teacher_temperature, student_temperature)
    for sample in range(3):
        scores = [
            np.array([float(np.dot(side[sample].numpy(), anchor.numpy())) / temperature for anchor in anchors])
            for side, temperature in ((teacher, teacher_temperature), (student, student_temperature))
        ]
        p, q = (np.exp(score - score.max()) / np.exp(score - score.max()).sum() for score in scores)
        assert float(loss[sample]) == pytest.approx(float(np.sum(p * np.log(p / q))), rel=1e-6)


def test_loss_keeps_its_precision_under_autocast() -> None:
    """Similarities over a temperature of 0.02 cannot afford bfloat16's three digits."""
    teacher, student, anchors = unit_rows(0, 8, 32), unit_rows(1, 8, 32), unit_rows(2, 64, 32)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = similarity_distillation_loss(teacher, student, anchors, 0.02, 0.02)
    torch.testing.assert_close(mixed, similarity_distillation_loss(teacher, student, anchors, 0.02, 0.02))


def test_bank_starts_with_unit_rows() -> None:
    torch.testing.assert_close(MemoryBank(50, 12).anchors.norm(dim=1), torch.ones(50))


@pytest.mark.parametrize("batches", [[4, 4, 4, 4, 4], [10], [13], [25], [3, 13, 1, 10, 2], [7, 7, 7]])
def test_bank_holds_the_last_h_embeddings(batches: list[int]) -> None:
    """Against a list that drops its head; H = 10 is divisible by few of these batch sizes, and smaller than some."""
    bank = MemoryBank(10, 2)
    expected = [tuple(row.tolist()) for row in bank.anchors]
    number = 0.0
    for batch in batches:
        rows = torch.stack([torch.tensor([number + i, -1.0]) for i in range(batch)])
        number += batch
        bank.enqueue(rows)
        expected = (expected + [tuple(row.tolist()) for row in rows])[-10:]
        oldest_first = torch.roll(bank.anchors, -int(bank.position), 0)
        assert [tuple(row.tolist()) for row in oldest_first] == expected


def test_bank_keeps_its_place_in_a_state_dict() -> None:
    bank, other = MemoryBank(10, 2), MemoryBank(10, 2)
    bank.enqueue(torch.ones(4, 2))
    other.load_state_dict(bank.state_dict())
    assert int(other.position) == 4
    assert torch.equal(other.anchors, bank.anchors)


@pytest.mark.parametrize(("layers", "parameters"), [(2, 6 * 7 + 7 + 14 + 7 * 6 + 6), (3, 6 * 7 + 7 + 14 + 56 + 14 + 48)])
def test_predictor_layers(layers: int, parameters: int) -> None:
    network = predictor(AuxSKDSettings(projection=6, predictor_hidden=7, predictor_layers=layers))  # type: ignore[arg-type]
    assert sum(isinstance(module, nn.Linear) for module in network) == layers
    assert sum(isinstance(module, nn.BatchNorm1d) for module in network) == layers - 1
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert network(torch.randn(4, 6)).shape == (4, 6)


def test_teacher_is_the_exponential_average_of_the_students() -> None:
    """After students s_1..s_n from t_0: t_n = m^n t_0 + (1 - m) sum_i m^(n-i) s_i."""
    network = distillation()
    start = [parameter.detach().double().clone() for parameter in network.teacher.parameters()]
    students = []
    for number in range(5):
        with torch.no_grad():
            for parameter in network.student.parameters():
                parameter.add_(0.1 * (number + 1))
        students.append([parameter.detach().double().clone() for parameter in network.student.parameters()])
        network.update_teacher()
    for index, parameter in enumerate(network.teacher.parameters()):
        expected = 0.9**5 * start[index] + 0.1 * sum(0.9 ** (4 - i) * students[i][index] for i in range(5))
        torch.testing.assert_close(parameter.double(), expected, rtol=1e-5, atol=1e-6)


def test_teacher_starts_equal_to_the_student_gets_no_gradient_and_is_not_the_same_memory() -> None:
    network = distillation()
    for own, other in zip(network.teacher.parameters(), network.student.parameters(), strict=True):
        assert torch.equal(own, other)
        assert own.data_ptr() != other.data_ptr()
    network(views(0), views(1))[0].backward()
    assert all(parameter.grad is None for parameter in network.teacher.parameters())
    assert all(parameter.grad is not None for parameter in network.student.parameters())
    assert all(parameter.grad is not None for parameter in network.predictor.parameters())


def test_batch_norm_statistics_are_the_teacher_s_own() -> None:
    """The running average covers parameters only: buffers stay as they are in `update_teacher`, and the teacher's own
    forward pass, in training mode, moves them towards its own batch."""
    network = distillation()
    with torch.no_grad():
        for buffer in network.student.buffers():
            buffer.add_(5)
    before = [buffer.clone() for buffer in network.teacher.buffers()]
    network.update_teacher()
    assert all(torch.equal(a, b) for a, b in zip(before, network.teacher.buffers(), strict=True))
    network.train()(views(0), views(1))
    assert not all(torch.equal(a, b) for a, b in zip(before, network.teacher.buffers(), strict=True))


def test_a_step_follows_algorithm_1() -> None:
    """Student forward; teacher averaged with the student before its update; teacher forward; similarities to the bank as it
    was; then the teacher's embeddings enter it. Replayed here with plain operations on copies, networks in float64: how sums
    are rounded depends on the number of threads."""
    network = distillation().train()
    for part in (network.student, network.predictor, network.teacher):
        part.double()
    with torch.no_grad():
        for parameter in network.student.parameters():
            parameter.mul_(1.1)
    replay, first, second = copy.deepcopy(network), views(0).double(), views(1).double()
    anchors = replay.bank.anchors.clone()

    loss, metrics = network(first, second)

    student = F.normalize(replay.predictor(replay.student(first)).float(), dim=1)
    with torch.no_grad():
        for own, other in zip(replay.teacher.parameters(), replay.student.parameters(), strict=True):
            own.copy_(0.9 * own + 0.1 * other)
        teacher = F.normalize(replay.teacher(second).float(), dim=1)
    p = ((teacher @ anchors.T) / 0.02).softmax(1)
    log_q = ((student @ anchors.T) / 0.02).log_softmax(1)
    expected = (p * (p.log() - log_q)).sum(1).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(metrics["similarity"], F.cosine_similarity(student, teacher))
    torch.testing.assert_close(network.bank.anchors[:4], teacher)
    assert torch.equal(network.bank.anchors[4:], anchors[4:])


def test_the_batch_is_never_among_its_own_anchors() -> None:
    """A bank of one batch, all of which the batch replaces: the loss is still the one over the old anchors."""
    old = torch.eye(6)[:4]
    network = distillation(memory_bank=4).train()
    network.bank.anchors.copy_(old)
    own = F.normalize(copy.deepcopy(network.predictor)(copy.deepcopy(network.student)(views(0))), dim=1)
    loss, _ = network(views(0), views(1))
    teacher = network.bank.anchors
    over_old, over_own = (similarity_distillation_loss(teacher, own, anchors, 0.02, 0.02).mean() for anchors in (old, teacher))
    torch.testing.assert_close(loss, over_old, rtol=1e-4, atol=1e-5)
    assert abs(float((over_old - over_own).detach())) > 0.01, "the two can be told apart"


def test_a_batch_in_parts_moves_teacher_and_bank_once() -> None:
    """Seven clips in parts of three and four against all at once, twice, networks without batch norm and in float64: the same
    loss over the anchors from before the batch, gradients, teacher, and bank with the position in it."""

    def trained(sizes: list[int]) -> tuple[SimilarityDistillation, list[float]]:
        network = distillation(projection=6)
        network.student[0] = network.teacher[0] = nn.Sequential()
        for side in (network.student, network.teacher):
            side[0] = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 16 * 16, network.student[1].in_features))
        torch.manual_seed(1)
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.05)
        network.predictor = nn.Sequential(*(module for module in network.predictor if not isinstance(module, nn.BatchNorm1d)))
        for side in (network.student, network.predictor, network.teacher):
            side.double()
        losses = []
        for step in range(2):
            first, second = (views(seed + step, 7).double().split(sizes) for seed in (0, 10))
            network.zero_grad()
            total = 0.0
            for number, (own, other) in enumerate(zip(first, second, strict=True)):
                network.first, network.last = number == 0, number == len(sizes) - 1
                loss, _ = network(own, other)
                (loss * len(own) / 7).backward()
                total += float(loss.detach()) * len(own) / 7
            losses.append(total)
            with torch.no_grad():
                for parameter in network.student.parameters():
                    parameter.sub_(0.1 * parameter.grad)
        return network, losses

    whole, in_parts = trained([7]), trained([3, 4])
    assert in_parts[1] == pytest.approx(whole[1], rel=1e-5)
    for (name, value), (_, other) in zip(in_parts[0].state_dict().items(), whole[0].state_dict().items(), strict=True):
        torch.testing.assert_close(value, other, rtol=1e-5, atol=1e-6, msg=name)
    assert int(in_parts[0].bank.position) == 14 % 10
