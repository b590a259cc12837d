"""Recipes and keys; and running experiments: reuse, sharing, exact resuming, and failures that name their stage."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainables.pipeline import Experiment, Result, Stage, resolve, run_experiment
from trainables.runtime import Runtime, open_data
from trainables.settings import ExperimentSettings, setting_names, with_values
from trainables.stages.work import NonFiniteLoss
from trainables.store import Store
from trainables.video.layouts import VideoSet

REPOSITORY = Path(__file__).resolve().parents[2]
KINDS = ("auxskd", "pretext", "finetune", "evaluate")

AFFECTED: dict[str, set[str]] = {
    "video": {"auxskd", "pretext", "finetune", "evaluate"},
    "augmentation": {"auxskd", "pretext", "finetune", "evaluate"},
    "backbone": {"auxskd", "pretext", "finetune", "evaluate"},
    "compute": {"auxskd", "pretext", "finetune", "evaluate"},
    "vspp": {"auxskd", "pretext", "finetune", "evaluate"},
    "auxskd": {"auxskd", "pretext", "finetune", "evaluate"},
    "pretext": {"pretext", "finetune", "evaluate"},
    "finetune": {"finetune", "evaluate"},
    "evaluation": {"evaluate"},
}
"""Stages of recipe auxskd_pretext whose artifact a group of settings changes, downstream ones included."""

OTHER_VALUES: dict[str, Any] = {
    "video.pixels": "bgr_255",
    "augmentation.jitter_per": "clip",
    "augmentation.hue": 0.3,
    "backbone.family": "r3d",
    "backbone.depth": 18,
    "compute.precision": "bfloat16",
    "vspp.segment_frames": "inclusive",
    "auxskd.predictor_layers": 2,
    "auxskd.views": "distinct",
    "pretext.unaltered_segment": "exclude",
    "finetune.keep": "best",
    "evaluation.average": "logits",
}


@pytest.fixture
def data(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> dict[str, VideoSet]:
    return open_data(tiny.data, runtime())


def stages(settings: ExperimentSettings, data: dict[str, VideoSet], seed: int = 0) -> dict[str, Stage]:
    return {stage.kind: stage for stage in resolve(Experiment(settings, seed), data).upstream()}


def keys(settings: ExperimentSettings, data: dict[str, VideoSet], seed: int = 0) -> dict[str, str]:
    return {kind: stage.key for kind, stage in stages(settings, data, seed).items()}


def another(name: str, value: Any) -> Any:
    if name in OTHER_VALUES:
        return OTHER_VALUES[name]
    return value / 2 if isinstance(value, float) else value + 1


def test_recipes_are_these_chains(tiny: ExperimentSettings, data: dict[str, VideoSet]) -> None:
    chains = {
        recipe: list(stages(with_values(tiny, {"recipe": recipe}), data)) for recipe in ("scratch", "pretext", "auxskd_pretext")
    }
    assert chains == {
        "scratch": ["finetune", "evaluate"],
        "pretext": ["pretext", "finetune", "evaluate"],
        "auxskd_pretext": ["auxskd", "pretext", "finetune", "evaluate"],
    }
    chain = stages(tiny, data)
    assert chain["pretext"].inputs == {"auxskd": chain["auxskd"]}
    assert chain["finetune"].inputs == {"pretrained": chain["pretext"]}
    assert chain["evaluate"].inputs == {"finetuned": chain["finetune"]}
    assert [stage.data for stage in chain.values()] == ["pretraining", "pretraining", "downstream", "downstream"]


@pytest.mark.parametrize(
    "name", [name for name in setting_names() if name.partition(".")[0] in AFFECTED and name != "pretext.task"]
)
def test_a_setting_changes_the_keys_of_the_stages_it_matters_to(
    tiny: ExperimentSettings, data: dict[str, VideoSet], name: str
) -> None:
    value: Any = tiny.model_dump()
    for part in name.split("."):
        value = value[part]
    before, after = keys(tiny, data), keys(with_values(tiny, {name: another(name, value)}), data)
    assert {kind for kind in KINDS if before[kind] != after[kind]} == AFFECTED[name.partition(".")[0]]


def test_seed_and_data_are_in_every_key(
    tiny: ExperimentSettings, data: dict[str, VideoSet], runtime: Callable[..., Runtime]
) -> None:
    before = keys(tiny, data)
    assert not set(before.values()) & set(keys(tiny, data, seed=1).values())
    reseeded = with_values(tiny, {"data.embedded.seed": 1})
    assert not set(before.values()) & set(keys(reseeded, open_data(reseeded.data, runtime())).values())


def test_each_stage_depends_on_the_parts_it_reads(tiny: ExperimentSettings, data: dict[str, VideoSet]) -> None:
    """Another test part changes evaluation only; another validation part all but auxSKD."""
    videos = data["downstream"]
    fewer_tests = {role: replace(videos, test=videos.test[1:]) for role in data}
    fewer_validations = {role: replace(videos, validation=videos.validation[1:]) for role in data}
    before = keys(tiny, data)
    assert [kind for kind in KINDS if keys(tiny, fewer_tests)[kind] != before[kind]] == ["evaluate"]
    assert [kind for kind in KINDS if keys(tiny, fewer_validations)[kind] != before[kind]] == list(KINDS[1:])


def test_keys_know_no_place(tiny: ExperimentSettings, data: dict[str, VideoSet], tmp_path: Path) -> None:
    """The same clips drawn below another directory; and nothing of a path or of the store in what is hashed."""
    elsewhere = open_data(tiny.data, Runtime(tmp_path / "other-store", tmp_path / "other-cache", workers=2))
    assert keys(tiny, elsewhere) == keys(tiny, data)


def test_keys_stay_the_same_from_one_process_to_another(tiny: ExperimentSettings, data: dict[str, VideoSet]) -> None:
    key = resolve(Experiment(tiny, 3), data).key
    assert len(key) == 16
    assert int(key, 16) >= 0
    assert resolve(Experiment(ExperimentSettings.model_validate_json(tiny.model_dump_json()), 3), data).key == key


def test_rows_share_what_they_have_in_common(tiny: ExperimentSettings, data: dict[str, VideoSet]) -> None:
    """Two dropouts and two temperatures: four experiments, 2 auxSKD, 2 pretext, 4 finetune and 4 evaluate stages, not 16."""
    found = {
        stage.key
        for temperature in (0.02, 0.1)
        for dropout in (0.0, 0.5)
        for stage in stages(
            with_values(tiny, {"auxskd.student_temperature": temperature, "finetune.dropout": dropout}), data
        ).values()
    }
    assert len(found) == 12


def ignore(line: dict[str, Any]) -> None:
    pass


def contents(store: Path, result: Result) -> dict[str, bytes]:
    """What the stages left, times aside."""
    found = {}
    for kind, key in result.stages.items():
        for path in sorted((store / kind / key).iterdir()):
            found[f"{kind}/{path.name}"] = path.read_bytes()
            if path.name == "done.json":
                found[f"{kind}/{path.name}"] = json.dumps(json.loads(path.read_bytes())["metrics"]).encode()
    return found


def test_an_experiment_gives_metrics_of_all_stages_and_the_second_run_trains_nothing(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime]
) -> None:
    place, lines = runtime(), []
    first = run_experiment(Experiment(tiny, 0), place, lines.append)
    assert list(first.stages) == list(KINDS)
    assert [(line["stage"], line["epoch"]) for line in lines] == [(k, e) for k in KINDS[:3] for e in (1, 2)]
    names = ("auxskd/loss", "pretext/segment_accuracy", "pretext/val_speed_accuracy", "finetune/val_top1", "validation/top1")
    assert {*names, "test/top1", "test/top5"} <= first.metrics.keys()
    assert first.metrics["test/videos"] == 6
    assert all(0 <= value <= 1 for name, value in first.metrics.items() if "top" in name or "accuracy" in name)
    assert all(spent.used > 0 and spent.saved == 0 for spent in first.seconds.values())
    lines.clear()
    second = run_experiment(Experiment(tiny, 0), place, lines.append)
    assert lines == []
    assert (second.stages, second.metrics) == (first.stages, first.metrics)
    assert {kind: (0.0, spent.used) for kind, spent in first.seconds.items()} == {
        kind: (spent.used, spent.saved) for kind, spent in second.seconds.items()
    }


def test_confusion_matrix_and_top1_agree(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    place = runtime()
    result = run_experiment(Experiment(with_values(tiny, {"recipe": "scratch"}), 0), place, ignore)
    confusion = json.loads((place.store / "evaluate" / result.stages["evaluate"] / "confusion.json").read_text())
    for part in ("validation", "test"):
        matrix = confusion[part]
        assert [sum(row) for row in matrix] == [1] * 6, "one video of each class"
        assert result.metrics[f"{part}/top1"] == pytest.approx(sum(matrix[i][i] for i in range(6)) / 6)


def test_workers_change_nothing(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    alone, together = runtime("alone"), runtime("together", workers=2)
    settings = with_values(tiny, {"finetune.epochs": 1})
    first, second = (run_experiment(Experiment(settings, 0), place, ignore) for place in (alone, together))
    assert contents(alone.store, first) == contents(together.store, second)


def test_seeds_differ(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    settings = with_values(tiny, {"recipe": "scratch", "finetune.epochs": 1})
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
    finetuned = finetune.weights()
    convolutions = [name for name, value in pretext.weights().items() if value.dim() == 5]
    assert len(convolutions) > 8
    for name in convolutions:
        assert float((finetuned[f"network.{name}"] - pretext.weights()[name]).abs().max()) < 1e-6


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
from pathlib import Path
import trainables.stages.work as work
from trainables.pipeline import Experiment, run_experiment
from trainables.runtime import Runtime
from trainables.settings import validated

settings, store, cache, last = json.loads(sys.argv[1])
train_step, steps = work.train_step, 0

def counted(*arguments):
    global steps
    steps += 1
    if steps == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return train_step(*arguments)

work.train_step = counted
run_experiment(Experiment(validated(settings), 0), Runtime(Path(store), Path(cache), device="cpu"), lambda line: None)
print(steps)
"""


@pytest.mark.slow
def test_killed_in_every_stage_and_resumed_it_equals_an_uninterrupted_run_to_the_bit(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime]
) -> None:
    """12 clips in batches of 5 are 2 steps per epoch, 4 per stage. SIGKILL in the 4th step (auxSKD, epoch 2, which is then
    repeated), in the 5th of the next run (VSPP, epoch 2), in the 6th of the one after (finetuning, epoch 2)."""
    settings = with_values(tiny, {"finetune.keep": "best"})
    place, whole = runtime("killed"), runtime("whole")

    def run(last: int) -> subprocess.CompletedProcess[str]:
        arguments = json.dumps([settings.model_dump(), str(place.store), str(place.cache), last])
        command = [sys.executable, "-c", KILLED_IN_A_STEP, arguments]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)

    assert [run(last).returncode for last in (4, 5, 6)] == [-signal.SIGKILL] * 3
    assert sorted(path.parent.parent.name for path in place.store.glob("*/*/done.json")) == ["auxskd", "pretext"]
    finished = run(0)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split()[-1] == "2", "only finetuning's second epoch was left"
    expected = run_experiment(Experiment(settings, 0), whole, ignore)
    resumed = run_experiment(Experiment(settings, 0), place, ignore)
    assert resumed.metrics == expected.metrics
    assert contents(place.store, resumed) == contents(whole.store, expected)
    assert {"auxskd/weights.safetensors", "pretext/metrics.jsonl", "evaluate/confusion.json"} <= contents(
        whole.store, expected
    ).keys()
