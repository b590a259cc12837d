"""The losses of graph distillation over the direct formulas: seconds and agreement, on one thread or on a GPU.

    python benchmarks/graph_losses.py
    python benchmarks/graph_losses.py --device cuda

Values and gradients with respect to the student:

- transport between the predictions of four teachers and a student: exact and entropic, both of all teachers at once, over
  a loop of `ot.emd2`, with a cost of samples;
- every reading of the logits graph over the first, transport with gains and each teacher's own prediction;
- maximum mean discrepancy over a loop over pairs of channels; at the paper's size over the same formula with every matrix of
  kernel values out of place, with equal values;
- compact bilinear pooling (which has no gradient) over sketching the outer product entry by entry; small sizes, as the loops
  are slow.

Half a minute.
"""

from __future__ import annotations

import itertools
import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

sys.path[0] = str(Path(__file__).resolve().parents[1])

import ot
import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from benchmarks.comparison import Figure, alternate, median_ratio, show, timed
from trainables.distillation.bilinear import CompactBilinear
from trainables.distillation.logits_graph import LogitsGraph
from trainables.distillation.mmd import median_square, squared_mmd
from trainables.distillation.teachers import Answers, Teachers
from trainables.distillation.transport import earth_mover, sinkhorn
from trainables.models.device import wait_for
from trainables.models.encoder import Outputs
from trainables.settings import TEACHER_TASKS, GraphSettings

TEACHERS = len(TEACHER_TASKS)
FEATURES = 4096
READINGS: dict[str, dict[str, object]] = {
    "em": {},
    "em, no cost of samples": {"sample_cost": 0.0},
    "em, cost of labels": {"sample_cost_of": "label"},
    "em, gains of each sample": {"gain_of": "sample"},
    "em, mixed targets": {"targets": "mixed"},
    "l2": {"distance": "l2"},
    "class_em, zero and one": {"distance": "class_em"},
    "class_em, prototypes": {"distance": "class_em", "ground": "prototypes"},
    "cosine, learned edges": {"distance": "cosine", "edges": "learned"},
    "cosine, learned_global edges": {"distance": "cosine", "edges": "learned_global"},
}
SIGMA = 0.1
Loss = Callable[[Tensor], Tensor]


def main(
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    batch: Annotated[int, typer.Option(min=2)] = 128,
    classes: Annotated[int, typer.Option(min=2)] = 101,
    channels: Annotated[int, typer.Option(min=2, help="of student, teachers and sketch, where loops are compared")] = 16,
    rounds: Annotated[int, typer.Option(min=1, help="runs of each side")] = 15,
) -> None:
    """Compare the losses with the formulas they compute."""
    if device == "cuda" and not torch.cuda.is_available():
        raise typer.BadParameter("--device cuda: no GPU is available")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.device(device):
        figures = [
            *transport(batch, classes, rounds),
            *logits_graphs(batch, classes, rounds),
            *discrepancy(channels, rounds),
            *constant(rounds),
            *pooling(channels, rounds),
        ]
    show(
        "graph_losses",
        f"losses of graph distillation, {device}, {rounds} rounds",
        figures,
        torch=torch.__version__,
        pot=ot.__version__,
    )


def transport(batch: int, classes: int, rounds: int) -> list[Figure]:
    """The student says the half of what the teachers say."""
    common = torch.randn(batch, classes)
    mu = (common + torch.randn(TEACHERS, batch, classes)).softmax(-1)
    student = (2 * (common + torch.randn(batch, classes))).requires_grad_()
    weight, between = torch.full((batch,), 1 / batch), GraphSettings().sample_cost * (1 - torch.eye(batch))

    def loop(student: Tensor) -> Tensor:
        eta = student.softmax(-1)
        return torch.stack([ot.emd2(weight, weight, torch.cdist(each, eta) + between) for each in mu])

    def exact(student: Tensor) -> Tensor:
        return earth_mover(mu, student.softmax(-1), between).mean(-1)

    def entropic(student: Tensor) -> Tensor:
        return sinkhorn(mu, student.softmax(-1), between, GraphSettings().sinkhorn_regularisation).sum((1, 2))

    name = f"transport, batch {batch}, {classes} classes"
    sides: dict[str, Loss] = {
        f"{name}: loop of ot.emd2": loop,
        f"{name}: exact": exact,
        f"{name}: Sinkhorn": entropic,
    }
    return compare(sides, student, rounds, {f"{name}: exact": 1e-6, f"{name}: Sinkhorn": 1e-3}, f"{name}: exact")


def logits_graphs(batch: int, classes: int, rounds: int) -> list[Figure]:
    """Values of different readings differ, so nothing has to agree. Features are as long as AlexNet's and VGG's."""
    common = torch.randn(batch, classes)
    student = (common + torch.randn(batch, classes)).requires_grad_()
    told = Answers(common + torch.randn(TEACHERS, batch, classes), (), [torch.randn(batch, FEATURES)] * TEACHERS)
    teachers = Teachers(TEACHER_TASKS, (), [torch.randn(classes, FEATURES)] * TEACHERS)
    features, labels = torch.randn(batch, FEATURES), torch.arange(batch) % classes

    def loss(values: Mapping[str, object]) -> Loss:
        graph = LogitsGraph(GraphSettings.model_validate(values), teachers, FEATURES)
        return lambda student: graph(Outputs(student, student, features), told, labels)[0]

    name = f"logits graph, batch {batch}, {classes} classes"
    sides = {f"{name}: {label}": loss(values) for label, values in READINGS.items()}
    return compare(sides, student, rounds, {}, "")


def discrepancy(channels: int, rounds: int) -> list[Figure]:
    samples, places = 2, 49
    vertex = torch.randn(samples, channels, places).softmax(-1)
    student = torch.randn(samples, channels, places).requires_grad_()

    def kernels(one: Tensor, other: Tensor) -> Tensor:
        pairs = itertools.product(one.unbind(), other.unbind())
        return torch.stack([torch.exp(-(a - b).square().sum() / (2 * SIGMA**2)) for a, b in pairs]).mean()

    def loop(student: Tensor) -> Tensor:
        sets = list(zip(student.softmax(-1), vertex, strict=True))
        return torch.stack([kernels(x, x) + kernels(y, y) - 2 * kernels(x, y) for x, y in sets]).mean()

    name = f"MMD, {samples} samples, {channels} and {channels} channels"
    batched = f"{name}: batched"
    sides: dict[str, Loss] = {
        f"{name}: double loop": loop,
        batched: lambda student: squared_mmd(student.softmax(-1), vertex, SIGMA),
    }
    return compare(sides, student, rounds, {batched: 1e-3}, batched)


def constant(rounds: int) -> list[Figure]:
    """The kernel values between a vertex's channels have no gradient and take the place of their distances."""
    samples, channels, sketch, places = 8, 256, 512, 169
    vertex = torch.randn(samples, sketch, places).softmax(-1)
    student = torch.randn(samples, channels, places).requires_grad_()

    def squares(a: Tensor, b: Tensor) -> Tensor:
        lengths = a.square().sum(2)[:, :, None] + b.square().sum(2)[:, None, :]
        return torch.baddbmm(lengths, a, b.mT, alpha=-2).clamp_min(0)

    def out_of_place(student: Tensor) -> Tensor:
        origin = vertex.mean(1, keepdim=True)
        x, y = student.softmax(-1) - origin, vertex - origin
        across = squares(x, y)
        width = -2 * median_square(across)
        weights = y.new_full((sketch,), 1 / sketch)
        inside = weights @ torch.exp(squares(y, y) / width).mean(0) @ weights
        return torch.exp(squares(x, x) / width).mean() + inside - 2 * torch.exp(across / width).mean((0, 1)) @ weights

    name = f"MMD, {samples} samples, {channels} and {sketch} channels, {places} locations"
    sides: dict[str, Loss] = {
        f"{name}: out of place": out_of_place,
        f"{name}: in place": lambda student: squared_mmd(student.softmax(-1), vertex, "median"),
    }
    return compare(sides, student, rounds, {f"{name}: in place": 0.0}, f"{name}: in place")


def pooling(channels: int, rounds: int) -> list[Figure]:
    maps = [torch.randn(8, channels, 13, 13) for _ in range(TEACHERS)]
    compact = CompactBilinear([channels] * TEACHERS, channels, "location").to(maps[0].device)

    def vertex(one: int, other: int) -> Tensor:
        first, second = compact.sketches[one], compact.sketches[other]
        outer = maps[one][:, :, None] * maps[other][:, None] * (first.signs[:, None] * second.signs)[:, :, None, None]
        places = (first.places[:, None] + second.places) % channels
        sketch = torch.zeros(8, channels, 13, 13).index_add_(1, places.flatten(), outer.flatten(1, 2))
        return F.normalize(sketch.sign() * sketch.abs().sqrt(), dim=1)

    def direct(student: Tensor) -> Tensor:
        return torch.stack([vertex(one, other) for one, other in itertools.combinations(range(TEACHERS), 2)]).square()

    name = f"compact bilinear, {TEACHERS} teachers, {channels} channels"
    sides: dict[str, Loss] = {
        f"{name}: outer products": direct,
        f"{name}: transforms": lambda student: torch.stack(compact(maps)).square(),
    }
    return compare(sides, torch.zeros(1), rounds, {f"{name}: transforms": 1e-3}, f"{name}: transforms")


def compare(
    sides: Mapping[str, Loss], student: Tensor, rounds: int, agreement: Mapping[str, float], faster: str
) -> list[Figure]:
    """Seconds of each side and their ratios to the first; and by how much values differ from the first's.

    agreement: for each of the other sides the largest difference, in units of the largest value. faster: the side that has to
    be faster than the first.
    """

    def run(loss: Loss) -> Tensor:
        student.grad = None
        values = loss(student)
        if values.requires_grad:
            values.sum().backward()
        wait_for(values.device)
        return values.detach()

    reference, *_ = values = [run(loss) for loss in sides.values()]
    seconds = alternate({name: timed(lambda loss=loss: run(loss)) for name, loss in sides.items()}, rounds)
    base = next(iter(seconds.values()))
    figures = [
        Figure(name, 1e3 * statistics.median(taken), "ms", median_ratio(taken, base), 1 if name == faster else None)
        for name, taken in seconds.items()
    ]
    for name, found in zip(sides, values, strict=True):
        if name in agreement:
            difference = float((found - reference).abs().max() / reference.abs().max())
            figures.append(Figure(f"{name}, difference", difference, "", difference, agreement[name]))
    return figures


if __name__ == "__main__":
    typer.run(main)
