"""Similarity-based distillation against Algorithm 1, closed forms and a float64 formula of its own."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.distillation.similarity import (
    MemoryBank,
    SimilarityDistillation,
    divergence,
    entropy,
    log_distribution,
    loss_scale,
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


@pytest.mark.parametrize("temperature", [1e-3, 0.02, 0.5, 100.0])
def test_entropy_against_the_sum_written_out(temperature: float) -> None:
    """From 0 for a distribution with one peak to log H for a flat one."""
    embeddings, anchors = unit_rows(0, 3, 16).double(), unit_rows(1, 20, 16).double()
    found = entropy(log_distribution(embeddings, anchors, temperature))
    for sample in range(3):
        scores = np.exp((embeddings[sample] @ anchors.T).numpy() / temperature - 1 / temperature)
        shares = [share for share in scores / scores.sum() if share > 0]
        assert float(found[sample]) == pytest.approx(-sum(share * np.log(share) for share in shares), rel=1e-6, abs=1e-9)
    assert torch.all((found >= 0) & (found <= np.log(20) + 1e-12))


def test_without_anchors_the_loss_and_its_gradient_are_zero() -> None:
    student = unit_rows(0, 5, 8).requires_grad_()
    loss = similarity_distillation_loss(unit_rows(1, 5, 8), student, torch.empty(0, 8), 0.02, 0.02)
    loss.mean().backward()
    assert torch.equal(loss, torch.zeros(5))
    assert torch.equal(student.grad, torch.zeros(5, 8))
    assert torch.equal(entropy(log_distribution(student.detach(), torch.empty(0, 8), 0.02)), torch.zeros(5))


TEMPERATURES = (0.01, 0.02, 0.05, 0.1, 0.5)


def gradient_norms(scale: str, alike: float, bank: int) -> dict[tuple[float, float], float]:
    """Of the scaled loss with respect to the student's embeddings, by the two temperatures.

    Embeddings of 128 dimensions with something in common (alike: their mean cosine), and a student that is half the teacher's
    answer, as two views of a video are.
    """
    generator = torch.Generator().manual_seed(0)

    def drawn(rows: int) -> Tensor:
        own = torch.randn(rows, 128, generator=generator).double() / 128**0.5
        return F.normalize((alike / (1 - alike)) ** 0.5 * common + own, dim=1)

    common = F.normalize(torch.randn(1, 128, generator=generator).double(), dim=1)
    anchors, teacher = drawn(bank), drawn(16)
    start = F.normalize(teacher + drawn(16), dim=1)
    found = {}
    for temperatures in itertools.product(TEMPERATURES, TEMPERATURES):
        settings = AuxSKDSettings(
            teacher_temperature=temperatures[0],
            student_temperature=temperatures[1],
            loss_scale=scale,  # type: ignore[arg-type]
        )
        student = start.clone().requires_grad_()
        loss = similarity_distillation_loss(teacher, F.normalize(student, dim=1), anchors, *temperatures).mean()
        (loss * loss_scale(settings)).backward()
        found[temperatures] = float(student.grad.norm())
    return found


@pytest.mark.parametrize(("alike", "bank"), [(0.0, 512), (0.5, 4096), (0.9, 4096), (0.99, 512)])
def test_with_temperature_squared_the_gradient_does_not_depend_on_temperatures(alike: float, bank: int) -> None:
    """Over all pairs of temperatures from 0.01 to 0.5 it stays within a factor of 8, where the unscaled one spans three orders
    of magnitude; with the student's temperature alone it still goes with 1/T."""
    spans = {}
    for scale in ("none", "temperature", "temperature_squared"):
        norms = gradient_norms(scale, alike, bank).values()
        spans[scale] = max(norms) / min(norms)
    assert spans["none"] > 800
    assert 15 < spans["temperature"] < spans["none"] / 15
    assert spans["temperature_squared"] < 8


def test_equal_temperatures_that_are_far_above_similarities_are_hinton_s_limit() -> None:
    """T^2 KL -> sum_h (s_h - t_h)^2 / 2 H of centred similarities (its gradient is Eq. 4 of Hinton et al. 2015)."""
    teacher, student, anchors = (unit_rows(seed, rows, 16).double() for seed, rows in ((0, 3), (1, 3), (2, 20)))
    settings = AuxSKDSettings(teacher_temperature=1e3, student_temperature=1e3, loss_scale="temperature_squared")
    found = similarity_distillation_loss(teacher, student, anchors, 1e3, 1e3) * loss_scale(settings)
    off = (student - teacher) @ anchors.T
    expected = (off - off.mean(1, keepdim=True)).square().mean(1) / 2
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize(
    ("scale", "temperatures", "expected"),
    [
        ("none", (0.02, 0.1), 1.0),
        ("temperature", (0.02, 0.1), 0.1),
        ("temperature_squared", (0.05, 0.05), 0.0025),
        ("temperature_squared", (0.02, 0.1), 0.002),
        ("temperature_squared", (0.1, 0.02), 0.0004),
    ],
)
def test_the_network_s_loss_is_scaled(scale: Any, temperatures: tuple[float, float], expected: float) -> None:
    """Against the same step without a scale, to the bit; the metrics are not scaled."""
    teacher, student = temperatures
    plain, scaled = (
        distillation(teacher_temperature=teacher, student_temperature=student, loss_scale=name)(views(0), views(1))
        for name in ("none", scale)
    )
    assert torch.equal(scaled[0], plain[0] * expected)
    assert all(torch.equal(scaled[1][name], value) for name, value in plain[1].items())


def test_metrics_of_a_step() -> None:
    """Entropies are those of the distributions whose divergence is the loss; of the bank the share that is filled before."""
    network = distillation()
    anchors = network.bank.anchors.clone()
    loss, metrics = network(views(0), views(1))
    teacher = network.bank.anchors[:4]
    target = log_distribution(teacher, anchors, 0.02)
    torch.testing.assert_close(metrics["teacher_entropy"], entropy(target))
    assert metrics["student_entropy"].shape == (4,)
    assert not any(value.requires_grad for value in metrics.values())
    assert float(metrics["filled_anchors"]) == 0
    assert float(loss.detach()) > 0
    shares = [float(network(views(seed), views(seed + 1))[1]["filled_anchors"]) for seed in (2, 4, 6)]
    assert shares == pytest.approx([0.4, 0.8, 1.0])


def test_anchors_that_count_once_they_are_filled() -> None:
    """A bank of ten and batches of four: over no anchors, four, eight, and then all. The first step has no loss, no gradient,
    and no metric that is not a number; later ones have the loss over those that hold embeddings, written out."""
    network, replay = distillation(anchors="filled").train(), distillation().train()
    loss, metrics = network(views(0), views(1))
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(torch.all(parameter.grad == 0) for parameter in network.student.parameters())
    assert all(torch.all(value.isfinite()) for value in metrics.values())
    replay(views(0), views(1))
    for step, filled in ((1, 4), (2, 8), (3, 10), (4, 10)):
        anchors = network.bank.anchors[:filled].clone()
        assert int(network.bank.filled) == filled
        student = F.normalize(copy.deepcopy(network.predictor)(copy.deepcopy(network.student)(views(step))), dim=1).detach()
        found, _ = network(views(step), views(step + 9))
        replay(views(step), views(step + 9))
        assert torch.equal(network.bank.anchors, replay.bank.anchors), "what enters the bank is the same"
        places = [place % 10 for place in range(4 * step, 4 * step + 4)]
        target = log_distribution(network.bank.anchors[places], anchors, 0.02)
        expected = divergence(target, log_distribution(student, anchors, 0.02)).mean()
        torch.testing.assert_close(found.detach(), expected, rtol=1e-4, atol=1e-5)


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
        entered = int(number) if number < 10 else 10
        assert int(bank.filled) == entered
        held = {tuple(row.tolist()) for row in bank.anchors[:entered]}
        assert held == set(expected[-entered:]), "embeddings are the first rows, until all are"


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
