"""Several data sets in one experiment: stages, keys and metrics of each, the mean over them, and joined pretraining."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trainables import data
from trainables.data import describe, open_data
from trainables.pipeline import Experiment, Stage, named_metrics, resolve, run_experiment, with_means
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, SettingsError, with_values
from trainables.stages import evaluate
from trainables.video.videos import VideoSet

Make = Callable[..., Runtime]
BOTH = "ucf101+hmdb51"
STANDING_IN = tuple((name, "embedded") for name in ("hmdb51", "kinetics100", "kinetics400", "ucf101"))


def stages(settings: ExperimentSettings, place: Runtime) -> dict[str, Stage]:
    return {stage.name: stage for stage in resolve(Experiment(settings, 0), open_data(settings.data, place))}


def on(tiny: ExperimentSettings, downstream: str, pretraining: str = "kinetics100", **values: Any) -> ExperimentSettings:
    return with_values(tiny, {"data.pretraining": pretraining, "data.downstream": downstream, **values})


def test_one_pretraining_feeds_every_downstream_set(tiny: ExperimentSettings, runtime: Make) -> None:
    """The stages of each set are those of an experiment with that set alone: same keys, so nothing is trained twice."""
    place = runtime(stand_ins=STANDING_IN)
    both = stages(on(tiny, BOTH), place)
    of_each = ("finetune", "evaluate", "features", "linear_probe", "retrieval")
    assert list(both) == ["auxskd", "pretext", *(f"{kind}/{name}" for name in BOTH.split("+") for kind in of_each)]
    for name in BOTH.split("+"):
        alone = stages(on(tiny, name), place)
        assert list(alone) == ["auxskd", "pretext", *of_each]
        assert {kind: both[f"{kind}/{name}"].key for kind in of_each} == {kind: alone[kind].key for kind in of_each}
        assert {kind: both[kind].key for kind in ("auxskd", "pretext")} == {
            kind: alone[kind].key for kind in ("auxskd", "pretext")
        }
    assert both["finetune/ucf101"].key != both["finetune/hmdb51"].key


def test_metrics_of_each_set_and_their_mean(tiny: ExperimentSettings, runtime: Make) -> None:
    place = runtime(stand_ins=STANDING_IN)
    lines: list[dict[str, Any]] = []
    values: dict[str, Any] = {"recipe": "scratch", "finetune.epochs": 1}
    both = run_experiment(Experiment(on(tiny, BOTH, **values), 0), place, lines.append)
    lines = [line for line in lines if "epoch" in line]
    assert [line["stage"] for line in lines] == ["finetune/ucf101", "finetune/hmdb51"]
    assert [[name for name in line if "val_top1" in name] for line in lines] == [
        ["finetune/val_top1/ucf101"],
        ["finetune/val_top1/hmdb51"],
    ]
    assert {"epoch", "epochs"} <= lines[0].keys()
    names = {
        "test/top1",
        "validation/top1",
        "finetune/val_loss",
        "test/retrieval_r1",
        "validation/linear_probe_top1",
        "test/videos",
    }
    alone = {
        name: run_experiment(Experiment(on(tiny, name, **values), 0), place, lines.append).metrics for name in BOTH.split("+")
    }
    assert len([line for line in lines if "epoch" in line]) == 2, "the stages of the single sets were there"
    for name in names:
        for dataset, metrics in alone.items():
            assert both.metrics[f"{name}/{dataset}"] == metrics[name]
        assert both.metrics[name] == pytest.approx(sum(metrics[name] for metrics in alone.values()) / 2)
    assert both.made.keys() == both.stages.keys()


def test_names_and_means_by_hand() -> None:
    of_set = Stage(evaluate.KIND, "downstream/hmdb51", "", {}, 0)
    assert named_metrics(of_set, {"test/top1": 0.5}) == {"test/top1/hmdb51": 0.5}
    assert named_metrics(Stage(evaluate.KIND, "downstream", "", {}, 0), {"test/top1": 0.5}) == {"test/top1": 0.5}
    metrics = {"pretext/loss": 3.0, "test/top1/ucf101": 0.75, "test/top1/hmdb51": 0.25, "test/top5/hmdb51": 0.5}
    assert named_metrics(of_set, {"finetune/loss": [3.0, 2.0]}) == {"finetune/loss/hmdb51": [3.0, 2.0]}
    assert with_means(metrics) == {**metrics, "test/top1": 0.5, "test/top5": 0.5}


def test_pretraining_on_several_sets_together(tiny: ExperimentSettings, runtime: Make) -> None:
    """Twelve clips of one set and six of the other; the same finetuning data, but other keys, as the pretraining differs."""
    place = runtime(stand_ins=STANDING_IN)
    joined, single = on(tiny, "ucf101", "kinetics100+hmdb51"), on(tiny, "ucf101")
    videos = open_data(joined.data, place)["pretraining"]
    assert (len(videos.train), len(videos.validation), len(videos.test)) == (12 + 6, 6 + 6, 6 + 6)
    assert len({video.name for video in videos.train}) == 18
    assert len({video.group for video in (*videos.train, *videos.validation)}) == 18 + 12
    assert describe(videos)["dataset"] == "embedded for kinetics100+embedded for hmdb51"
    assert not {stage.key for stage in stages(joined, place).values()} & {stage.key for stage in stages(single, place).values()}
    values = {"recipe": "pretext", "pretext.epochs": 1, "evaluation.measures": ["retrieval"]}
    result = run_experiment(Experiment(with_values(joined, values), 0), place, lambda line: None)
    assert result.metrics["test/retrieval_r50"] == 1, "all of 18 training videos are among 50"


def test_a_set_is_read_once_whatever_it_is_read_for(tiny: ExperimentSettings, runtime: Make, monkeypatch) -> None:
    """Its fingerprints, too, are computed once: a note on a set changes none."""
    data._by_role.cache_clear()
    data._open.cache_clear()
    read = []
    original = data.take_inventory
    monkeypatch.setattr(
        data, "take_inventory", lambda videos, *args, **how: read.append(videos) or original(videos, *args, **how)
    )
    sets = open_data(on(tiny, BOTH, "ucf101").data, runtime(stand_ins=STANDING_IN))
    assert len(read) == 2
    assert sets["pretraining"].train is sets["downstream/ucf101"].train
    noted = sets["pretraining"].described(notes=("another",))
    assert noted.notes == ("another",) and noted.fingerprint() == sets["pretraining"].fingerprint()
    monkeypatch.setattr(VideoSet, "part", lambda *_: pytest.fail("computed again"))
    assert noted.fingerprint() == sets["pretraining"].fingerprint()


@pytest.mark.parametrize("value", ["ucf101+ucf101", "ucf101+", "+", ""])
def test_sets_are_different_names_joined_by_a_plus(tiny: ExperimentSettings, value: str) -> None:
    for role in ("pretraining", "downstream"):
        with pytest.raises(SettingsError, match=f"{role} = .*different names joined by"):
            with_values(tiny, {f"data.{role}": value})
