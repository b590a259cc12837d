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

from trainables.data import open_data
from trainables.pipeline import Experiment, Result, Stage, resolve, run_experiment
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, flat, setting_names, with_values
from trainables.stages.work import NonFiniteLoss
from trainables.store import Store
from trainables.video.layouts import VideoSet

REPOSITORY = Path(__file__).resolve().parents[2]
Contents = Callable[[Path, Result], dict[str, bytes]]
PRETRAINING = {"auxskd", "pretext"}
FINETUNED = {"finetune", "evaluate"}
FROZEN = {"features", "linear_probe", "retrieval"}
KINDS = ("auxskd", "pretext", "finetune", "evaluate", "features", "linear_probe", "retrieval")

AFFECTED: dict[str, set[str]] = {
    "video": set(KINDS),
    "augmentation": set(KINDS),
    "backbone": set(KINDS),
    "compute": set(KINDS),
    "vspp": set(KINDS),
    "vspp.speed_weight": set(KINDS) - {"auxskd"},
    "vspp.segment_weight": set(KINDS) - {"auxskd"},
    "vspp.unaltered_segment": set(KINDS) - {"auxskd"},
    "video_pace": set(),
    "vcop": set(),
    "rspnet": set(),
    "auxskd": set(KINDS),
    "pretext": set(KINDS) - {"auxskd"},
    "finetune": FINETUNED,
    "frozen": FROZEN,
    "evaluation": {"evaluate"},
    "evaluation.measures": set(),
}
"""Stages of recipe auxskd_pretext whose artifact a group of settings, or one setting, changes; downstream ones included."""

VIEWS = {
    "vspp": {"vspp.segments", "vspp.speeds", "vspp.segment_frames"},
    "video_pace": {"video_pace.speeds"},
    "vcop": {"vcop.clips", "vcop.interval"},
    "rspnet": {"rspnet.speed"},
}
"""The settings of each pretext task that say how a clip is made from a video; auxSKD's views are such clips."""

OTHER_VALUES: dict[str, Any] = {
    "video.pixels": "bgr_255",
    "augmentation.crop_area": (0.4, 1.0),
    "augmentation.grey_probability": 0.2,
    "augmentation.jitter_per": "clip",
    "augmentation.hue": 0.3,
    "backbone.family": "r3d",
    "backbone.depth": 18,
    "compute.precision": "bfloat16",
    "compute.channels_last": False,
    "compute.compile": True,
    "vspp.segment_frames": "inclusive",
    "vspp.unaltered_segment": "exclude",
    "vcop.short_videos": "shrink",
    "auxskd.optimiser": "adam",
    "auxskd.schedule": "cosine",
    "auxskd.predictor_layers": 2,
    "auxskd.views": "distinct",
    "pretext.optimiser": "adam",
    "pretext.schedule": "cosine",
    "finetune.optimiser": "adam",
    "finetune.schedule": "cosine",
    "finetune.keep": "best",
    "evaluation.average": "logits",
    "evaluation.measures": ("finetune", "retrieval", "linear_probe"),
}


@pytest.fixture
def data(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> dict[str, VideoSet]:
    return open_data(tiny.data, runtime())


def stages(settings: ExperimentSettings, data: dict[str, VideoSet], seed: int = 0) -> dict[str, Stage]:
    return {stage.name: stage for stage in resolve(Experiment(settings, seed), data)}


def keys(settings: ExperimentSettings, data: dict[str, VideoSet], seed: int = 0) -> dict[str, str]:
    return {name: stage.key for name, stage in stages(settings, data, seed).items()}


def differing(before: dict[str, str], after: dict[str, str]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


def changed(settings: ExperimentSettings, name: str) -> ExperimentSettings:
    """The settings with another valid value of one."""
    value = flat(settings)[name]
    other = OTHER_VALUES[name] if name in OTHER_VALUES else value / 2 if isinstance(value, float) else value + 1
    assert other != value
    return with_values(settings, {name: other})


def test_recipes_are_these_chains(tiny: ExperimentSettings, data: dict[str, VideoSet]) -> None:
    chains = {
        recipe: list(stages(with_values(tiny, {"recipe": recipe}), data)) for recipe in ("scratch", "pretext", "auxskd_pretext")
    }
    assert chains == {
        "scratch": ["finetune", "evaluate", "features", "linear_probe", "retrieval"],
        "pretext": ["pretext", "finetune", "evaluate", "features", "linear_probe", "retrieval"],
        "auxskd_pretext": list(KINDS),
    }
    found = stages(tiny, data)
    inputs = {
        "auxskd": {},
        "pretext": {"auxskd": "auxskd"},
        "finetune": {"pretext": "pretext"},
        "evaluate": {"finetuned": "finetune"},
        "features": {"pretext": "pretext"},
        "linear_probe": {"features": "features"},
        "retrieval": {"features": "features"},
    }
    assert {name: dict(stage.inputs) for name, stage in found.items()} == {
        name: {role: found[source] for role, source in sources.items()} for name, sources in inputs.items()
    }
    assert {name: stage.data for name, stage in found.items()} == {
        name: "pretraining" if name in PRETRAINING else "downstream" for name in KINDS
    }


@pytest.mark.parametrize(
    ("measures", "expected"),
    [
        (["finetune"], ["pretext", "finetune", "evaluate"]),
        (["linear_probe"], ["pretext", "features", "linear_probe"]),
        (["retrieval", "finetune"], ["pretext", "features", "retrieval", "finetune", "evaluate"]),
    ],
)
def test_only_what_is_measured_runs(
    tiny: ExperimentSettings, data: dict[str, VideoSet], measures: list[str], expected: list[str]
) -> None:
    """And what runs has the key that it has beside the others."""
    found = keys(with_values(tiny, {"recipe": "pretext", "evaluation.measures": measures}), data)
    assert list(found) == expected
    assert found.items() <= keys(with_values(tiny, {"recipe": "pretext"}), data).items()


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in setting_names()
        if name.partition(".")[0] in AFFECTED and name != "pretext.task" and not name.endswith(".checkpoint")
    ],
)
def test_a_setting_changes_the_keys_of_the_stages_it_matters_to(
    tiny: ExperimentSettings, data: dict[str, VideoSet], name: str
) -> None:
    expected = AFFECTED.get(name, AFFECTED[name.partition(".")[0]])
    before, after = ({kind: found[kind] for kind in KINDS} for found in (keys(tiny, data), keys(changed(tiny, name), data)))
    assert differing(before, after) == expected


@pytest.mark.parametrize("task", list(VIEWS))
def test_a_task_s_settings_are_in_the_keys_of_that_task_only(
    tiny: ExperimentSettings, data: dict[str, VideoSet], task: str
) -> None:
    """Of auxSKD's key only those that its views depend on: a weight of a loss does not make it train again."""
    settings = with_values(tiny, {"pretext.task": task})
    for name in setting_names():
        if name.partition(".")[0] in VIEWS:
            expected = set(KINDS) - {"auxskd"} if name.startswith(f"{task}.") else set()
            if name in VIEWS[task]:
                expected = set(KINDS)
            assert differing(keys(settings, data), keys(changed(settings, name), data)) == expected, name


def test_tasks_share_nothing_but_stay_apart(tiny: ExperimentSettings, data: dict[str, VideoSet]) -> None:
    """auxSKD's views come from the task, so its key does too."""
    found = [keys(with_values(tiny, {"pretext.task": task}), data) for task in VIEWS]
    assert len({key for one in found for key in one.values()}) == len(VIEWS) * len(KINDS)


@pytest.mark.parametrize(
    ("stage", "consumers"),
    [("auxskd", set(KINDS) - {"auxskd"}), ("pretext", FINETUNED | FROZEN)],
)
def test_a_checkpoint_belongs_to_what_starts_from_it(
    tiny: ExperimentSettings, data: dict[str, VideoSet], stage: str, consumers: set[str]
) -> None:
    """One run of the stage serves all its checkpoints; the last one is what the stage hands on anyway."""
    four = with_values(tiny, {f"{stage}.epochs": 8, f"{stage}.checkpoints": 4})
    found = {number: keys(with_values(four, {f"{stage}.checkpoint": number}), data) for number in (None, 1, 2, 3, 4)}
    assert found[4] == found[None]
    assert differing(found[1], found[2]) == differing(found[1], found[4]) == consumers
    assert len({one["finetune"] for one in found.values()}) == 4


def test_a_checkpoint_of_a_stage_that_does_not_run_means_nothing(tiny: ExperimentSettings, data: dict[str, VideoSet]) -> None:
    scratch = with_values(tiny, {"recipe": "scratch", "pretext.checkpoints": 2})
    assert keys(scratch, data) == keys(with_values(scratch, {"pretext.checkpoint": 1}), data)


def test_seed_and_data_are_in_every_key(
    tiny: ExperimentSettings, data: dict[str, VideoSet], runtime: Callable[..., Runtime]
) -> None:
    before = keys(tiny, data)
    assert not set(before.values()) & set(keys(tiny, data, seed=1).values())
    reseeded = with_values(tiny, {"data.embedded.seed": 1})
    assert not set(before.values()) & set(keys(reseeded, open_data(reseeded.data, runtime())).values())


def test_each_stage_depends_on_the_parts_it_reads(tiny: ExperimentSettings, data: dict[str, VideoSet]) -> None:
    """Another test part changes no training; another validation part all but auxSKD."""
    videos = data["downstream"]
    fewer_tests = {role: replace(videos, test=videos.test[1:]) for role in data}
    fewer_validations = {role: replace(videos, validation=videos.validation[1:]) for role in data}
    before = keys(tiny, data)
    assert differing(before, keys(tiny, fewer_tests)) == {"evaluate"} | FROZEN
    assert differing(before, keys(tiny, fewer_validations)) == set(KINDS) - {"auxskd"}


def test_keys_know_no_place(tiny: ExperimentSettings, data: dict[str, VideoSet], tmp_path: Path) -> None:
    """The same clips drawn below another directory; and nothing of a path or of the store in what is hashed."""
    elsewhere = open_data(tiny.data, Runtime(tmp_path / "other-store", tmp_path / "other-cache", workers=2))
    assert keys(tiny, elsewhere) == keys(tiny, data)


def test_keys_stay_the_same_from_one_process_to_another(tiny: ExperimentSettings, data: dict[str, VideoSet]) -> None:
    found = keys(tiny, data, seed=3)
    assert all(len(key) == 16 and int(key, 16) >= 0 for key in found.values())
    assert keys(ExperimentSettings.model_validate_json(tiny.model_dump_json()), data, seed=3) == found


def test_rows_share_what_they_have_in_common(tiny: ExperimentSettings, data: dict[str, VideoSet]) -> None:
    """Two dropouts and two temperatures: four experiments of 7 stages. Two auxSKD, two pretext, and of the frozen networks two
    times three; four finetunings and evaluations: 18, not 28."""
    found = {
        stage.key
        for temperature in (0.02, 0.1)
        for dropout in (0.0, 0.5)
        for stage in stages(
            with_values(tiny, {"auxskd.student_temperature": temperature, "finetune.dropout": dropout}), data
        ).values()
    }
    assert len(found) == 18


def ignore(line: dict[str, Any]) -> None:
    pass


def test_an_experiment_gives_metrics_of_all_stages_and_the_second_run_trains_nothing(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime]
) -> None:
    place, lines = runtime(), []
    first = run_experiment(Experiment(tiny, 0), place, lines.append)
    assert list(first.stages) == list(KINDS)
    assert [(line["stage"], line["epoch"]) for line in lines] == [
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


def test_workers_change_nothing(tiny: ExperimentSettings, runtime: Callable[..., Runtime], contents: Contents) -> None:
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
    tiny: ExperimentSettings, runtime: Callable[..., Runtime], contents: Contents
) -> None:
    """12 clips in batches of 5 are 2 steps per epoch, 4 per stage. SIGKILL in the 4th step (auxSKD, epoch 2, which is then
    repeated), in the 5th of the next run (VSPP, epoch 2), in the 6th of the one after (finetuning, epoch 2)."""
    kept = {f"{stage}.checkpoints": 2 for stage in ("auxskd", "pretext")}
    settings = with_values(tiny, {"finetune.keep": "best", **kept})
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
    names = ("auxskd/weights-1", "auxskd/weights", "pretext/weights-1", "finetune/weights", "features/features")
    assert {f"{name}.safetensors" for name in names} | {"evaluate/confusion.json"} <= contents(whole.store, expected).keys()
