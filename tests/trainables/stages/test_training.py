"""The training loop: schedule, metrics, the best epoch, and losses that stop being numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainables.runtime import Runtime
from trainables.settings import AuxSKDSettings, ExperimentSettings, Optimisation, with_values
from trainables.stages import work as work_module
from trainables.stages.training import NonFiniteLoss, learning_rate, make_optimiser, train, train_step
from trainables.stages.work import Means, Outcome, Training, Work
from trainables.store import Store, Workplace
from trainables.video.videos import VideoSet

Step = Callable[[Tensor, dict[str, Tensor]], tuple[Tensor, dict[str, Tensor]]]


class TwoBatches:
    """In the place of a ClipLoader: two batches of two numbers; notes which epochs were asked for."""

    def __init__(self, wrapped: int = 0) -> None:
        self.epochs: list[int] = []
        self.wrapped = wrapped

    def __len__(self) -> int:
        return 2

    def epoch(self, number: int, start: int = 0) -> Iterator[dict[str, Tensor]]:
        self.epochs.append(number)
        for first in (1.0, 3.0)[start:]:
            counts = torch.full((2,), self.wrapped)
            yield {"pixels": torch.tensor([first, first + 1]), "wrapped": counts, "replaced": torch.zeros(2)}


def make_work(directory: Path, report: Callable[[dict[str, Any]], None] = lambda line: None, save_every: float = 300) -> Work:
    return Work(
        kind="finetune",
        settings=ExperimentSettings(),
        seed=0,
        videos=VideoSet("none", (), (), (), ()),
        inputs={},
        runtime=Runtime(directory, directory, device="cpu", save_every=save_every),
        workplace=Workplace(Store(directory), "finetune", "key"),
        report=report,
    )


def run(
    directory: Path,
    step: Step | None = None,
    network: nn.Linear | None = None,
    *,
    report: Callable[[dict[str, Any]], None] = lambda line: None,
    loader: Any = None,
    validate: Callable[[nn.Module, Iterable[Any]], dict[str, float]] | None = None,
    keep_best: str | None = None,
    save_every: float = 300,
    **optimisation: Any,
) -> Outcome:
    """Trains a network of one weight, 1 at first, and gives what came out; the weight in the end is `weight_of` it."""
    model = network or nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
    values = {"epochs": 3, "learning_rate": 0.1, "momentum": 0, "weight_decay": 0, "step_epochs": 100} | optimisation
    training = Training(
        model,
        loader or TwoBatches(),
        Optimisation(**values),
        clips=lambda batch: batch["pixels"],
        step=step or (lambda clips, batch: (model(clips[:, None]).mean(), {"x": clips})),
        weights=lambda: {"w": model.weight.detach().clone()},
        validate=validate,
        keep_best=keep_best,
    )
    return train(training, make_work(directory, report, save_every))


def weight_of(outcome: Outcome) -> float:
    return float(outcome.tensors["weights"]["w"])


def test_learning_rate_is_divided_by_ten_every_six_epochs(tmp_path: Path) -> None:
    """loss = w: each of the two updates of an epoch moves w by the learning rate, 1 six times, then 0.1 six times, ..."""
    weights = []
    model = nn.Linear(1, 1, bias=False)
    run(
        tmp_path,
        lambda clips, batch: (model.weight.sum(), {}),
        model,
        report=lambda line: weights.append(float(model.weight.detach())),
        epochs=13,
        learning_rate=1.0,
        step_epochs=6,
    )
    moved = [before - after for before, after in zip([1.0, *weights], weights, strict=False)]
    assert moved == pytest.approx([2.0] * 6 + [0.2] * 6 + [0.02], rel=1e-3)


@pytest.mark.parametrize("epochs", [1, 2, 7, 200])
def test_cosine_schedule_is_that_of_pytorch_down_to_a_thousandth(epochs: int) -> None:
    """lr(e) = low + (high - low) (1 + cos(pi e / E)) / 2, low = high / 1000, against torch.optim.lr_scheduler."""
    optimisation = Optimisation(schedule="cosine", epochs=epochs, learning_rate=0.05, step_epochs=2)
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs, eta_min=0.05 / 1000)
    for epoch in range(epochs):
        assert learning_rate(optimisation, epoch) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-9)
        optimiser.step()
        schedule.step()
    assert learning_rate(optimisation, 0) == 0.05
    assert learning_rate(optimisation, epochs) == pytest.approx(0.05 / 1000)


def test_training_follows_the_cosine(tmp_path: Path) -> None:
    """loss = w: the two updates of each of four epochs move w by the learning rate, which is all but halved in the middle."""
    weights = []
    model = nn.Linear(1, 1, bias=False)
    run(
        tmp_path,
        lambda clips, batch: (model.weight.sum(), {}),
        model,
        report=lambda line: weights.append(float(model.weight.detach())),
        epochs=4,
        learning_rate=1.0,
        schedule="cosine",
    )
    moved = [before - after for before, after in zip([1.0, *weights], weights, strict=False)]
    along = [1.0, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2]
    assert moved == pytest.approx([2 * (0.001 + 0.999 * share) for share in along], rel=1e-4)


class Rates:
    """A step of loss = w that notes how far w moves in each update."""

    def __init__(self) -> None:
        self.model = nn.Linear(1, 1, bias=False)
        self.weights: list[float] = []

    def __call__(self, clips: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        self.weights.append(float(self.model.weight.detach()))
        return self.model.weight.sum(), {}

    @property
    def moved(self) -> list[float]:
        weights = [*self.weights, float(self.model.weight.detach())]
        return [before - after for before, after in itertools.pairwise(weights)]


@pytest.mark.parametrize(
    ("warmup_epochs", "shares"),
    [
        (0.0, [1, 1, 1, 1, 1, 1]),
        (0.5, [1, 1, 1, 1, 1, 1]),
        (1.0, [1 / 2, 1, 1, 1, 1, 1]),
        (1.25, [2 / 5, 4 / 5, 1, 1, 1, 1]),
        (3.0, [1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1]),
    ],
)
def test_a_warm_up_rises_from_batch_to_batch(tmp_path: Path, warmup_epochs: float, shares: list[float]) -> None:
    """Of three epochs of two batches, to the rate that the schedule has then: a tenth in the last epoch. What the history says
    is the rate of an epoch's last update."""
    step = Rates()
    options: dict[str, Any] = {"epochs": 3, "learning_rate": 1.0, "step_epochs": 2, "warmup_epochs": warmup_epochs}
    outcome = run(tmp_path, step, step.model, **options)
    expected = [share * scheduled for share, scheduled in zip(shares, [1, 1, 1, 1, 0.1, 0.1], strict=True)]
    assert step.moved == pytest.approx(expected, rel=1e-5)
    assert [line["finetune/learning_rate"] for line in outcome.history] == pytest.approx(expected[1::2])


def test_a_warm_up_and_a_cosine_go_together() -> None:
    plain, warm = (Optimisation(schedule="cosine", epochs=4, warmup_epochs=epochs) for epochs in (0, 2))
    for epoch, along, share in ((0, 0.25, 1 / 8), (0, 1.0, 1 / 2), (1, 0.5, 3 / 4), (1, 1.0, 1), (2, 0.1, 1), (3, 1.0, 1)):
        assert learning_rate(warm, epoch, along) == pytest.approx(share * learning_rate(plain, epoch))


@pytest.mark.parametrize(("clip_gradient", "norm"), [(None, 5.0), (2.0, 2.0), (5.1, 5.0), (1e-3, 1e-3)])
def test_a_gradient_is_shortened_to_its_largest_norm(tmp_path: Path, clip_gradient: float | None, norm: float) -> None:
    """loss = 3 u + 4 v: every update goes along (3, 4) / 5, as long as the norm that is left; the metric is that of before."""
    model = nn.Linear(2, 1, bias=False)
    step: Step = lambda clips, batch: ((model.weight * torch.tensor([3.0, 4.0])).sum(), {})  # noqa: E731
    outcome = run(tmp_path, step, model, epochs=1, clip_gradient=clip_gradient)
    expected = 1 - 2 * 0.1 * norm * torch.tensor([[0.6, 0.8]])
    torch.testing.assert_close(outcome.tensors["weights"]["w"], expected, rtol=1e-5, atol=1e-7)
    assert outcome.metrics["finetune/gradient_norm"] == pytest.approx(5)


def test_a_gradient_is_shortened_as_a_whole_whatever_parts_the_batch_comes_in(tmp_path: Path) -> None:
    _, _, metrics, whole = one_step(tmp_path, 1, clip_gradient=0.1)
    _, _, _, free = one_step(tmp_path, 1)
    _, _, _, in_parts = one_step(tmp_path, 3, clip_gradient=0.1)
    assert float(metrics["gradient_norm"]) > 0.5, "it is shortened"
    torch.testing.assert_close(in_parts, whole)
    assert not torch.allclose(whole["0.weight"], free["0.weight"])


def test_sgd_with_momentum_and_weight_decay(tmp_path: Path) -> None:
    """v <- 0.9 v + (g + 0.1 w), w <- w - 0.1 v with g = 1, written out; momentum lives on across epochs."""
    model = nn.Linear(1, 1, bias=False)
    run(tmp_path, lambda clips, batch: (model.weight.sum(), {}), model, momentum=0.9, weight_decay=0.1)
    w, v = 1.0, 0.0
    for _ in range(6):
        v = 0.9 * v + (1 + 0.1 * w)
        w -= 0.1 * v
    assert float(model.weight.detach()) == pytest.approx(w, rel=1e-5)


def test_metrics_are_means_over_samples_with_the_stage_s_prefix(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []
    outcome = run(
        tmp_path, report=lines.append, loader=TwoBatches(wrapped=1), validate=lambda network, batches: {"val_top1": 0.5}
    )
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert all(line["stage"] == "finetune" and line["epochs"] == 3 for line in lines)
    assert outcome.metrics["finetune/x"] == 2.5
    assert outcome.metrics["finetune/wrapped_clips"] == 4
    assert outcome.metrics["finetune/replaced_frames"] == 0
    assert outcome.metrics["finetune/val_top1"] == 0.5
    assert "epoch" not in outcome.metrics
    assert lines[2]["finetune/loss"] == outcome.history[2]["finetune/loss"]


def test_learning_rate_and_gradient_norm_are_results_and_speed_and_memory_are_not(tmp_path: Path) -> None:
    """loss = 3 u + 4 v has a gradient of norm 5; an artifact holds nothing that differs from one machine to another."""
    model = nn.Linear(2, 1, bias=False)
    lines: list[dict[str, Any]] = []
    step: Step = lambda clips, batch: ((model.weight * torch.tensor([3.0, 4.0])).sum(), {})  # noqa: E731
    outcome = run(tmp_path, step, model, report=lines.append, epochs=3, step_epochs=2)
    assert [line["finetune/learning_rate"] for line in outcome.history] == pytest.approx([0.1, 0.1, 0.01])
    assert [line["finetune/gradient_norm"] for line in outcome.history] == pytest.approx([5, 5, 5])
    measured = {"finetune/samples_per_second", "finetune/memory_bytes"}
    for line, kept in zip(lines, outcome.history, strict=True):
        assert line.keys() - kept.keys() == {"stage", "epochs", *measured}
        assert line["finetune/samples_per_second"] > 0 and line["finetune/memory_bytes"] > 2**20
    assert not measured & outcome.metrics.keys()


def test_who_watches_a_training_that_goes_on_is_told_of_its_epochs_before(tmp_path: Path) -> None:
    interrupted(tmp_path, 2, epochs=3)
    lines: list[dict[str, Any]] = []
    outcome = run(tmp_path, report=lines.append, epochs=3)
    first, last = lines
    names = [name for name in outcome.history[0] if "/" in name]
    assert first == {"stage": "finetune", "before": {name: [line[name] for line in outcome.history[:2]] for name in names}}
    assert last["epoch"] == 3


def test_means_of_batches_of_different_sizes() -> None:
    means = Means()
    means.add({"a": torch.tensor([1.0, 2.0, 3.0]), "b": torch.tensor(True)})
    means.add({"a": torch.tensor([6.0])})
    assert means.result() == {"a": 3.0, "b": 1.0}


def test_the_first_of_the_best_epochs_is_kept(tmp_path: Path) -> None:
    """Its weights are left; the metrics are those of the last epoch."""
    scores = iter([0.2, 0.7, 0.7, 0.1])
    model, weights = nn.Linear(1, 1, bias=False), []
    outcome = run(
        tmp_path,
        network=model,
        epochs=4,
        validate=lambda network, batches: {"val_top1": next(scores)},
        keep_best="val_top1",
        report=lambda line: weights.append(float(model.weight.detach())),
    )
    assert weight_of(outcome) == weights[1] != weights[3]
    assert outcome.metrics["finetune/val_top1"] == 0.1


def test_a_copy_as_for_evaluation_is_validated(tmp_path: Path) -> None:
    """With the weights of that epoch, while the network itself is trained on."""
    model, validated = nn.Linear(1, 1, bias=False), []

    def validate(network: nn.Module, batches: Iterable[Any]) -> dict[str, float]:
        assert network is not model and not network.training
        assert torch.equal(network.weight, model.weight)  # type: ignore[arg-type]
        validated.append(network)
        return {"val_top1": 0.5}

    run(tmp_path, network=model, validate=validate)
    assert len({id(network) for network in validated}) == 3


def test_a_compiled_network_is_validated_itself(tmp_path: Path) -> None:
    """A copy would be compiled anew after each epoch; without compilation convolutions do the batch norms."""
    network, work = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)), make_work(tmp_path)
    assert isinstance(work.to_validate(network)[1], nn.Identity)
    compiled = replace(work, settings=with_values(work.settings, {"compute.compile": True}))
    assert compiled.to_validate(network) is network
    assert not network.training


def one_of(scores: list[float]) -> Callable[[nn.Module, Iterable[Any]], dict[str, float]]:
    """A validation that reaches one score after the other."""
    left = iter(scores)
    return lambda network, batches: {"val_top1": next(left)}


def interrupted(directory: Path, after: int, **options: Any) -> None:
    def stop(line: dict[str, Any]) -> None:
        if line.get("epoch") == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(directory, report=stop, **options)


def test_an_interrupted_training_goes_on_from_its_last_epoch(tmp_path: Path) -> None:
    options: dict[str, Any] = {"epochs": 5, "momentum": 0.9, "step_epochs": 2, "keep_best": "val_top1"}
    scores = [0.1, 0.9, 0.3, 0.9, 0.2]
    whole = run(tmp_path / "whole", validate=one_of(scores), **options)
    for stop in (1, 3):
        remaining = scores[1:] if stop == 3 else scores
        interrupted(tmp_path / "parts", stop, validate=one_of(remaining), **options)
    loader = TwoBatches()
    resumed = run(tmp_path / "parts", loader=loader, validate=one_of(scores[3:]), **options)
    assert loader.epochs == [3, 4]
    assert resumed.history == whole.history
    assert resumed.metrics == whole.metrics
    assert weight_of(resumed) == weight_of(whole)
    states = [Workplace(Store(tmp_path / name), "finetune", "key").load_state() for name in ("parts", "whole")]
    last, expected = (float(state["network"]["weight"]) for state in states if state is not None)
    assert last == expected != weight_of(whole), "and after the last epoch, which is not the best one"


def test_randomness_of_an_epoch_depends_on_seed_stage_and_epoch_only(tmp_path: Path) -> None:
    def draws(directory: Path, disturb: bool) -> list[float]:
        seen: list[float] = []
        model = nn.Linear(1, 1, bias=False)

        def step(clips: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            seen.append(float(torch.rand(())))
            return model.weight.sum(), {}

        run(directory, step, model, report=lambda line: torch.manual_seed(len(seen)) if disturb else None)  # type: ignore[arg-type]
        return seen

    torch.manual_seed(5)
    expected_afterwards = float(torch.rand(()))
    torch.manual_seed(5)
    quiet = draws(tmp_path / "a", False)
    assert len(set(quiet)) == 6
    assert draws(tmp_path / "b", True) == quiet
    torch.manual_seed(5)
    with make_work(tmp_path).seeded("purpose"):
        torch.rand(10)
    assert float(torch.rand(())) == expected_afterwards, "outside, the global state is untouched"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_names_stage_and_epoch(tmp_path: Path, bad: float) -> None:
    loader = TwoBatches()
    model = nn.Linear(1, 1, bias=False)
    step: Step = lambda clips, batch: (model.weight.sum() * (bad if len(loader.epochs) == 2 else 1), {})  # noqa: E731
    with pytest.raises(NonFiniteLoss, match=r"finetune: the loss became (nan|inf) in epoch 2"):
        run(tmp_path, step, model, loader=loader)
    state = make_work(tmp_path).workplace.load_state()
    assert state is not None
    assert len(state["history"]) == 1, "the epoch before is kept"
    assert math.isfinite(float(state["network"]["weight"]))


def test_a_last_update_that_ruins_the_weights_is_noticed(tmp_path: Path) -> None:
    """The loss is read before an update: that of the last batch of the last epoch must not leave NaN weights as a result."""
    model = nn.Linear(1, 1, bias=False)

    def step(clips: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return model.weight.sum() * (1e30 if clips[0] == 3 else 0), {}

    with pytest.raises(NonFiniteLoss, match="finetune: a weight became NaN or infinite in epoch 1"):
        run(tmp_path, step, model, epochs=1, learning_rate=1e20)


def test_a_validation_loss_that_is_no_number_is_noticed(tmp_path: Path) -> None:
    """It would otherwise reach the ledger, which holds numbers only."""
    with pytest.raises(NonFiniteLoss, match=r"finetune: val_loss became nan in epoch 1"):
        run(tmp_path, validate=lambda network, batches: {"val_loss": math.nan, "val_top1": 0.1})


def kept(directory: Path, epochs: int, checkpoints: int, **changes: Any) -> dict[int, float]:
    """The weight that each checkpoint on disk holds after a training in which it falls by 0.2 in each epoch, from 1."""
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
    work = make_work(directory, **changes)
    training = Training(
        model,
        TwoBatches(),  # type: ignore[arg-type]
        AuxSKDSettings(epochs=epochs, checkpoints=checkpoints, learning_rate=0.1, momentum=0, weight_decay=0),
        clips=lambda batch: batch["pixels"],
        step=lambda clips, batch: (model.weight.sum(), {}),
        weights=lambda: {"w": model.weight.detach().clone()},
    )
    train(training, work)
    assert work.workplace is not None
    artifact = work.workplace.publish(settings={}, metrics={})
    numbers = [int(path.stem.removeprefix("weights-")) for path in artifact.directory.glob("weights-*.safetensors")]
    return {number: float(artifact.tensors(f"weights-{number}")["w"]) for number in sorted(numbers)}


def test_checkpoints_are_kept_after_their_epochs(tmp_path: Path) -> None:
    """Of five epochs and three checkpoints the first two, after epochs 2 and 4; the third is the stage's own result."""
    assert kept(tmp_path / "three", 5, 3) == pytest.approx({1: 1 - 2 * 0.2, 2: 1 - 4 * 0.2})
    assert kept(tmp_path / "one", 5, 1) == {}


def test_a_crash_after_a_checkpoint_and_before_the_state_of_its_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The epoch is trained again and its checkpoint written again: the same one."""
    save_state, saved = Workplace.save_state, []

    def crashing(self: Workplace, state: dict[str, Any]) -> None:
        saved.append(len(state["history"]))
        if len(saved) == 2:
            raise KeyboardInterrupt
        save_state(self, state)

    monkeypatch.setattr(Workplace, "save_state", crashing)
    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path, 4, 2)
    assert kept(tmp_path, 4, 2) == pytest.approx({1: 1 - 2 * 0.2})
    assert saved == [1, 2, 2, 3, 4]


class Clock:
    """In the place of time.monotonic: moves when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(work_module.time, "monotonic", lambda: self.now)


class TenBatches(TwoBatches):
    """Ten batches of two numbers, from 1 on."""

    def __len__(self) -> int:
        return 10

    def epoch(self, number: int, start: int = 0) -> Iterator[dict[str, Tensor]]:
        self.epochs.append(number)
        for first in range(start, 10):
            yield {"pixels": torch.tensor([first + 1.0, first + 2.0]), "wrapped": torch.ones(2), "replaced": torch.zeros(2)}


def saved_state(directory: Path) -> dict[str, Any]:
    workplace = make_work(directory).workplace
    assert workplace is not None
    state = workplace.load_state()
    assert state is not None
    return state


def test_the_state_is_saved_inside_an_epoch_when_it_is_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch takes 100 seconds, the state is saved every 250: after batches 3, 6 and 9 and at the end of each epoch, where
    the time begins anew."""
    clock, saved, save_state = Clock(monkeypatch), [], Workplace.save_state

    def noting(self: Workplace, state: dict[str, Any]) -> None:
        saved.append((len(state["history"]), state["epoch"] and state["epoch"]["batches"]))
        save_state(self, state)

    monkeypatch.setattr(Workplace, "save_state", noting)
    model = nn.Linear(1, 1, bias=False)

    def step(clips: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        clock.now += 100
        return model.weight.sum(), {}

    run(tmp_path, step, model, loader=TenBatches(), epochs=2, save_every=250)
    assert saved == [(0, 3), (0, 6), (0, 9), (1, None), (1, 3), (1, 6), (1, 9), (2, None)]


@pytest.mark.parametrize("careful", [{}, {"warmup_epochs": 1.7, "clip_gradient": 0.5}], ids=["plain", "warm-up and clipping"])
@pytest.mark.parametrize("stop", range(1, 11))
def test_an_epoch_goes_on_from_the_batch_that_was_saved_last(tmp_path: Path, stop: int, careful: dict[str, Any]) -> None:
    """Interrupted in the n-th update of the second epoch, for every n: momentum, random numbers, the rate of a warm-up that
    ends in that epoch, sums of metrics and counts are as if it had not been, and no batch is seen twice."""
    model, seen = nn.Linear(1, 1, bias=False), []
    last: int | None = None

    def step(clips: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        if len(seen) == last:
            raise KeyboardInterrupt
        seen.append(float(clips[0]))
        noise = torch.rand(2)
        return (model(clips[:, None])[:, 0] * noise).mean(), {"noise": noise, "x": clips}

    options: dict[str, Any] = {"epochs": 3, "momentum": 0.9, "learning_rate": 0.001, "save_every": 0, **careful}
    whole = run(tmp_path / "whole", step, model, loader=TenBatches(), **options)
    expected, last = list(seen), 10 + stop - 1
    seen.clear()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", step, model, loader=TenBatches(), **options)
    last, loader = None, TenBatches()
    with torch.no_grad():
        model.weight.fill_(-5)
    torch.rand(stop)
    resumed = run(tmp_path / "parts", step, model, loader=loader, **options)
    assert loader.epochs == [1, 2]
    assert seen == expected
    assert resumed.history == whole.history
    assert resumed.history[1]["finetune/wrapped_clips"] == 20
    assert weight_of(resumed) == weight_of(whole)


def test_an_interrupted_validation_trains_nothing_again(tmp_path: Path) -> None:
    """The state after an epoch's last batch leads straight to its validation."""
    model, steps, answers = nn.Linear(1, 1, bias=False), [], iter([KeyboardInterrupt, None])

    def validate(network: nn.Module, batches: Iterable[Any]) -> dict[str, float]:
        if (error := next(answers)) is not None:
            raise error
        return {"val_top1": 0.5}

    def step(clips: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        steps.append(float(clips[0]))
        return model.weight.sum(), {}

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, step, model, validate=validate, epochs=1, save_every=0)
    outcome = run(tmp_path, step, model, validate=validate, epochs=1, save_every=0)
    assert steps == [1.0, 3.0]
    assert outcome.metrics["finetune/val_top1"] == 0.5
    assert weight_of(outcome) == pytest.approx(1 - 2 * 0.1)


def test_a_state_of_before_there_were_states_inside_an_epoch_is_understood(tmp_path: Path) -> None:
    """It has neither `epoch` nor text for the optimiser's numbers, but its groups; the next epoch begins whole."""
    options: dict[str, Any] = {"epochs": 4, "momentum": 0.9, "optimiser": "adam"}
    whole = run(tmp_path / "whole", **options)
    interrupted(tmp_path / "parts", 2, **options)
    workplace = make_work(tmp_path / "parts").workplace
    assert workplace is not None
    state = saved_state(tmp_path / "parts")
    groups = torch.optim.Adam([torch.zeros(1)], lr=7.0, betas=(0.9, 0.999)).state_dict()["param_groups"]
    moments = {int(number): value for number, value in state["optimiser"]["state"].items()}
    old = {name: state[name] for name in ("network", "history", "best")}
    workplace.save_state({**old, "optimiser": {"state": moments, "param_groups": groups}})
    loader = TwoBatches()
    resumed = run(tmp_path / "parts", loader=loader, **options)
    assert loader.epochs == [2, 3]
    assert resumed.history == whole.history
    assert weight_of(resumed) == weight_of(whole)


def plain(value: Any) -> bool:
    """Whether it consists of what JSON and safetensors keep: by text in dicts, in lists."""
    if isinstance(value, dict):
        return all(isinstance(name, str) and plain(part) for name, part in value.items())
    if isinstance(value, list):
        return all(map(plain, value))
    return value is None or isinstance(value, str | bool | int | float | Tensor)


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_states_are_plain_data(tmp_path: Path, optimiser: str) -> None:
    def stop(clips: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        if clips[0] == 3:
            raise KeyboardInterrupt
        return model.weight.sum(), {"x": clips}

    model = nn.Linear(1, 1, bias=False)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop, model, optimiser=optimiser, momentum=0.9, save_every=0)
    state = saved_state(tmp_path)
    assert state["epoch"]["batches"] == 1
    assert plain(state)


def test_a_loss_that_is_no_number_is_noticed_before_the_state_is_saved(tmp_path: Path) -> None:
    """In the batch in which it is, and what was saved before is kept."""
    model = nn.Linear(1, 1, bias=False)
    step: Step = lambda clips, batch: (model.weight.sum() * (math.nan if clips[0] == 5 else 1), {})  # noqa: E731
    with pytest.raises(NonFiniteLoss, match="finetune: the loss became nan in epoch 1"):
        run(tmp_path, step, model, loader=TenBatches(), save_every=0)
    state = saved_state(tmp_path)
    assert state["epoch"]["batches"] == 4
    assert math.isfinite(float(state["network"]["weight"]))


def one_step(directory: Path, parts: int, **changes: Any) -> tuple[list[int], Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """Sizes of the parts that a step on seven samples came in, its loss, its metrics and the weights after it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    sizes = []

    def step(clips: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        sizes.append(len(clips))
        losses = (model(clips) - batch["y"]).square().sum(1)
        return losses.mean(), {"own": losses.detach(), "of_batch": losses.mean().detach()}

    optimisation = Optimisation(learning_rate=0.1, momentum=0, weight_decay=0.1, **changes)
    weights = lambda: dict(model.state_dict())  # noqa: E731
    training = Training(model, TwoBatches(), optimisation, lambda batch: batch["pixels"], step, weights, parts=parts)  # type: ignore[arg-type]
    draw = torch.Generator().manual_seed(1)
    batch = {"pixels": torch.randn(7, 3, generator=draw), "y": torch.randn(7, 2, generator=draw), "wrapped": torch.zeros(7)}
    optimiser = make_optimiser(list(model.parameters()), optimisation)
    loss, metrics = train_step(make_work(directory), training, optimiser, batch)
    return sizes, loss, metrics, weights()


@pytest.mark.parametrize(("parts", "sizes"), [(2, [4, 3]), (3, [3, 2, 2]), (4, [3, 2, 2]), (100, [3, 2, 2])])
def test_a_step_in_parts_is_the_undivided_one(tmp_path: Path, parts: int, sizes: list[int]) -> None:
    """Up to rounding: the loss, every sample's metrics in order, means of the batch, and the weights, though the parts differ
    in size. Parts have two samples at least."""
    alone, loss, metrics, weights = one_step(tmp_path, 1)
    assert alone == [7]
    found, loss_in_parts, metrics_in_parts, weights_in_parts = one_step(tmp_path, parts)
    assert found == sizes
    torch.testing.assert_close(loss_in_parts, loss)
    torch.testing.assert_close(metrics_in_parts, metrics)
    torch.testing.assert_close(weights_in_parts, weights)
