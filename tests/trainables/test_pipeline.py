"""Running experiments: reuse, exact resuming, and failures that name their stage."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables import pipeline
from trainables.models.kernels import FORBIDDEN, Kernels, kernels
from trainables.pipeline import Experiment, Result, run_experiment
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, with_values
from trainables.stages import training
from trainables.stages.training import NonFiniteLoss
from trainables.store import Store

REPOSITORY = Path(__file__).resolve().parents[2]
Contents = Callable[[Path, Result], dict[str, bytes]]
KINDS = ("auxskd", "pretext", "finetune", "evaluate", "features", "linear_probe", "retrieval")


def ignore(line: dict[str, Any]) -> None:
    pass


def test_an_experiment_gives_metrics_of_all_stages_and_the_second_run_trains_nothing(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime]
) -> None:
    place, lines = runtime(), []
    first = run_experiment(Experiment(tiny, 0), place, lines.append)
    assert list(first.stages) == list(KINDS)
    assert [(line["stage"], line["epoch"]) for line in lines if "epoch" in line] == [
        (kind, epoch) for kind in ("auxskd", "pretext", "finetune") for epoch in (1, 2)
    ]
    names = ("auxskd/loss", "pretext/segment_accuracy", "pretext/val_speed_accuracy", "finetune/val_top1", "validation/top1")
    assert {*names, "test/top1", "test/top5"} <= first.metrics.keys()
    assert {"validation/linear_probe_top1", "test/linear_probe_top1", "test/retrieval_r1", "test/retrieval_r50"} <= (
        first.metrics.keys()
    )
    assert first.metrics["test/videos"] == 6
    assert all(0 <= value <= 1 for name, value in first.metrics.items() if "top" in name or "accuracy" in name)
    assert all(0 <= value <= 1 for name, value in first.metrics.items() if "retrieval" in name)
    assert all(spent.used > 0 and spent.saved == 0 for spent in first.made.values())
    lines.clear()
    second = run_experiment(Experiment(tiny, 0), place, lines.append)
    assert all("made" in line for line in lines)
    assert (second.stages, second.metrics) == (first.stages, first.metrics)
    assert {kind: (0.0, spent.used) for kind, spent in first.made.items()} == {
        kind: (spent.used, spent.saved) for kind, spent in second.made.items()
    }


def test_a_stage_with_a_network_computes_with_the_kernels_that_are_asked_for(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told that its device is a GPU, which is where that is done; between and after the stages torch has its own."""
    usual = Kernels.chosen()
    seen: list[tuple[bool, Kernels]] = []
    monkeypatch.setattr(pipeline, "kernels", lambda compute, device: kernels(compute, torch.device("cuda")))
    values = {"recipe": "pretext", "evaluation.measures": ["linear_probe"]}
    settings = with_values(tiny, {**values, "compute.tf32": "all", "compute.deterministic": True})

    def report(line: dict[str, Any]) -> None:
        seen.append(("epoch" in line, Kernels.chosen()))

    run_experiment(Experiment(settings, 0), runtime(), report)
    asked = usual._replace(products=True, deterministic=FORBIDDEN)
    assert {inside: {chosen for within, chosen in seen if within == inside} for inside in (True, False)} == {
        True: {asked},
        False: {usual},
    }
    assert Kernels.chosen() == usual


def test_what_is_of_a_gpu_changes_no_bit_on_a_cpu(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    """Weights and metrics of finetuning and its evaluation, though their keys are others."""
    of_gpu = {"compute.tf32": "all", "compute.fused": True, "compute.deterministic": True}
    plain = with_values(tiny, {"recipe": "scratch", "evaluation.measures": ["finetune"]})
    place, left = runtime(), []
    for settings in (plain, with_values(plain, of_gpu)):
        result = run_experiment(Experiment(settings, 0), place, ignore)
        artifact = Store(place.store).find("finetune", result.stages["finetune"])
        assert artifact is not None
        left.append((result.metrics, (artifact.directory / "weights.safetensors").read_bytes(), result.stages))
    assert left[0][:2] == left[1][:2]
    assert left[0][2]["finetune"] != left[1][2]["finetune"]


def test_confusion_matrix_and_top1_agree(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    place = runtime()
    settings = with_values(tiny, {"recipe": "scratch", "evaluation.measures": ["finetune"]})
    result = run_experiment(Experiment(settings, 0), place, ignore)
    confusion = json.loads((place.store / "evaluate" / result.stages["evaluate"] / "confusion.json").read_text())
    for part in ("validation", "test"):
        matrix = confusion[part]
        assert [sum(row) for row in matrix] == [1] * 6, "one video of each class"
        assert result.metrics[f"{part}/top1"] == pytest.approx(sum(matrix[i][i] for i in range(6)) / 6)


def test_workers_change_nothing(tiny: ExperimentSettings, runtime: Callable[..., Runtime], contents: Contents) -> None:
    alone, together = runtime("alone"), runtime("together", workers=2)
    first, second = (run_experiment(Experiment(tiny, 0), place, ignore) for place in (alone, together))
    assert contents(alone.store, first) == contents(together.store, second)


def test_seeds_differ(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    settings = with_values(tiny, {"recipe": "scratch", "finetune.epochs": 1, "evaluation.measures": ["finetune"]})
    losses = {run_experiment(Experiment(settings, seed), runtime(), ignore).metrics["finetune/loss"] for seed in (0, 1, 2)}
    assert len(losses) == 3


def test_pretraining_reaches_the_finetuned_network(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    """The stages differ only in what they start from: at a learning rate of almost nothing the weights show it."""
    settings = with_values(tiny, {"recipe": "pretext", "finetune.learning_rate": 1e-12, "finetune.epochs": 1})
    place = runtime()
    result = run_experiment(Experiment(settings, 0), place, ignore)
    store = Store(place.store)
    pretext, finetune = (store.find(kind, result.stages[kind]) for kind in ("pretext", "finetune"))
    assert pretext is not None
    assert finetune is not None
    finetuned, pretrained = finetune.tensors(), pretext.tensors()
    convolutions = [name for name, value in pretrained.items() if value.dim() == 5]
    assert len(convolutions) > 8
    for name in convolutions:
        assert float((finetuned[f"network.{name}"] - pretrained[name]).abs().max()) < 1e-6


@pytest.mark.parametrize(("stage", "epochs"), [("auxskd", 2), ("pretext", 1), ("finetune", 1)])
def test_a_loss_that_becomes_nan_names_its_stage(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime], stage: str, epochs: int
) -> None:
    """Also with so few updates that the loss itself was still finite."""
    values = {f"{stage}.learning_rate": 1e20, f"{stage}.epochs": epochs, f"{stage}.batch_size": 12}
    place = runtime()
    with pytest.raises(NonFiniteLoss, match=rf"^{stage}: .* in epoch {epochs}$|^{stage}: .* in epoch 1$"):
        run_experiment(Experiment(with_values(tiny, values), 0), place, ignore)
    assert not list(place.store.glob(f"{stage}/*/done.json"))


KILLED_IN_A_STEP = """
import json, os, signal, sys
import trainables.stages.training as training
from trainables.pipeline import Experiment, run_experiment
from trainables.runtime import Runtime
from trainables.settings import validated

settings, place, last_steps = json.loads(sys.argv[1])
train_step, steps = training.train_step, 0

def run(last):
    def counted(*arguments):
        global steps
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return train_step(*arguments)

    training.train_step = counted
    run_experiment(Experiment(validated(settings), 0), Runtime.from_config(place), lambda line: None)

for last in last_steps:
    child = os.fork()
    if child == 0:
        run(last)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("save_every", "last_steps", "left"), [(300.0, [4, 5, 6], 2), (0.0, [4, 5, 5], 1)])
def test_killed_in_every_stage_and_resumed_it_equals_an_uninterrupted_run_to_the_bit(
    tiny: ExperimentSettings,
    runtime: Callable[..., Runtime],
    contents: Contents,
    monkeypatch: pytest.MonkeyPatch,
    save_every: float,
    last_steps: list[int],
    left: int,
) -> None:
    """12 clips in batches of 5 are 2 steps per epoch, 4 per stage. SIGKILL in the last step of auxSKD, in the next run in that
    of VSPP, and in the one after in that of finetuning, which is what is left: with states inside epochs these steps alone are
    done again, without them their epochs."""
    kept = {f"{stage}.checkpoints": 2 for stage in ("auxskd", "pretext")}
    settings = with_values(tiny, {"finetune.keep": "best", **kept})
    place, whole = runtime("killed", save_every=save_every), runtime("whole")
    arguments = json.dumps([settings.model_dump(), place.as_config(), last_steps])
    command = [sys.executable, "-c", KILLED_IN_A_STEP, arguments]
    runs = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)
    assert runs.stdout.split() == [str(-signal.SIGKILL)] * 3, runs.stderr
    assert sorted(path.parent.parent.name for path in place.store.glob("*/*/done.json")) == ["auxskd", "pretext"]
    steps: list[str] = []
    with monkeypatch.context() as patched:
        step = training.train_step
        patched.setattr(training, "train_step", lambda work, *others: (steps.append(work.kind), step(work, *others))[1])
        resumed = run_experiment(Experiment(settings, 0), place, ignore)
    assert steps == ["finetune"] * left
    expected = run_experiment(Experiment(settings, 0), whole, ignore)
    assert resumed.metrics == expected.metrics
    assert contents(place.store, resumed) == contents(whole.store, expected)
    names = ("auxskd/weights-1", "auxskd/weights", "pretext/weights-1", "finetune/weights", "features/features")
    assert {f"{name}.safetensors" for name in names} | {"evaluate/confusion.json"} <= contents(whole.store, expected).keys()
