"""Which network a trial, the best of a sweep, or a key means; and what `--weights` makes of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from harness import sweep
from harness.identity import write_identity
from harness.ledger import Ledger
from harness.request import RequestError, settings_of_weights, weights_files
from harness.trained import NotTrained, stage_of, trained_trial
from tests.harness.test_ledger import record
from trainables.models import make_backbone
from trainables.settings import BackboneSettings
from trainables.store import Store

SETTINGS = {"backbone.family": "r2plus1d", "backbone.depth": 10, "backbone.width": 4, "video.pixels": "rgb_unit", "a.b": 1}
KEYS = {"pretext": "c0de000000000001", "finetune": "feed000000000002"}


def publish(store: Path, kind: str, key: str) -> None:
    weights = make_backbone(BackboneSettings(depth=10, width=4), 6 if kind == "finetune" else None).state_dict()
    with Store(store).claim(kind, key) as workplace:
        workplace.publish(settings=SETTINGS, metrics={}, history=[], tensors={"weights": weights}, files={})


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A sweep of two configurations of two seeds, of which the first is better in the mean and the second has the best trial; a
    failed trial; and the artifacts of one."""
    ledger = Ledger(tmp_path / "swept")
    write_identity(tmp_path / "swept", {"objective": "validation/top1", "direction": "maximize"})
    found = {"aa1": (0, 0.5), "aa2": (0, 0.6), "bb1": (1, 0.9), "bb2": (1, 0.1)}
    for number, (trial, (index, value)) in enumerate(found.items()):
        stages = {"pretext": KEYS["pretext"], "finetune": KEYS["finetune"], "evaluate": "e"}
        of = {"parameters": {"seed": index}, "index": index, "seed": number % 2, "stages": stages}
        ledger.append(record(trial, **of, metrics={"validation/top1": value}))
    ledger.append(record("ff1", index=2, outcome="failed", reason="pretext: collapsed"))
    for kind, key in KEYS.items():
        publish(tmp_path / "store", kind, key)
    return tmp_path


def given(runs: Path, what: str, network: str = "r2plus1d") -> Path:
    ((name, path),) = weights_files([f"{network}={what}"], runs, runs / "store")
    assert name == network
    return path.relative_to(runs / "store").parent if path.is_relative_to(runs) else path


def test_the_best_of_a_sweep_is_the_best_trial_of_the_configuration_that_is_best_in_the_mean(runs: Path) -> None:
    assert trained_trial("best-of:swept", runs)[1].trial == "aa2"
    write_identity(runs / "swept", {"objective": "validation/top1", "direction": "minimize"})
    assert trained_trial("best-of:swept", runs)[1].trial == "bb2"
    confirm = {"best": 1, "seeds": 2, "first": 1, "sequential": False}
    identity = {"objective": "validation/top1", "direction": "maximize"}
    write_identity(runs / "swept", {**identity, "confirm": confirm})
    Ledger(runs / "swept").append(record("cc1", index=3, parameters={"seed": 3}, seed=0, metrics={"validation/top1": 0.99}))
    assert trained_trial("best-of:swept", runs)[1].trial == "aa2", "of the seeds that the search has not seen"
    write_identity(runs / "swept", {**identity, "confirm": {**confirm, "seeds": 3}})
    assert trained_trial("best-of:swept", runs)[1].trial == "cc1", "none has all seeds that were to confirm it"
    write_identity(runs / "swept", {"objective": "hours", "direction": "minimize"})
    for seed, used in enumerate((1.0, 0.5)):
        of = {"index": 4, "parameters": {"seed": 4}, "seed": seed, "metrics": {}}
        Ledger(runs / "swept").append(record(f"dd{seed}", **of, seconds={"finetune": {"used": used, "saved": 0.0}}))
    assert trained_trial("best-of:swept", runs)[1].trial == "dd1", "of what is no metric"
    write_identity(runs / "swept", {"objective": "validation/map"})
    with pytest.raises(NotTrained, match="no trial of sweep 'swept' is complete with validation/map"):
        trained_trial("best-of:swept", runs)


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        ("aa1", "finetune"),
        ("aa1/pretext", "pretext"),
        ("best-of:swept", "finetune"),
        ("c0de", "pretext"),
        ("finetune/feed", "finetune"),
    ],
)
def test_weights_are_a_trial_s_last_network_or_what_is_named(what: str, kind: str, runs: Path) -> None:
    assert given(runs, what) == Path(kind) / KEYS[kind]


def test_settings_are_shown_with_those_that_belong_to_weights(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = ["--space", "imported", "--weights", "r2plus1d=aa1", "--runs-dir", str(runs), "--settings", "video.pixels", "--json"]
    with pytest.raises(SystemExit) as ended:
        sweep.app(said)
    assert not ended.value.code
    assert '"value": "rgb_unit"' in capsys.readouterr().out


def test_what_belongs_to_weights_is_what_their_artifact_was_made_with(runs: Path) -> None:
    files = weights_files(["r2plus1d=aa1"], runs, runs / "store")
    assert settings_of_weights(files) == {name: value for name, value in SETTINGS.items() if name != "a.b"}
    torch.save(make_backbone(BackboneSettings(family="r3d", depth=18, width=4), 5).state_dict(), runs / "r3d.pth")
    files = weights_files([f"r3d={runs / 'r3d.pth'}"], runs, runs / "store")
    form = {"backbone.family": "r3d", "backbone.depth": 18, "backbone.width": 4}
    assert settings_of_weights(files) == {**form, "video.pixels": "rgb_normalised"}
    with pytest.raises(RequestError, match=r"these are weights of r3d .*: --weights r3d="):
        settings_of_weights((("c3d", runs / "r3d.pth"),))


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("aa", r"2 trials begin with 'aa': aa1, aa2$"),
        ("nothing", r"there is no file nothing, no such artifact in .*store, and no trial 'nothing' is on record below"),
        ("gone/weights.pth", r"there is no file gone/weights\.pth$"),
        ("ff1", r"trial ff1 of sweep 'swept' is failed \(pretext: collapsed\)"),
        ("aa1/pretex", r"trial aa1 has no stage 'pretex'; did you mean 'pretext'\?; with a network: finetune, pretext"),
        ("best-of:other", r"no sweep 'other' below .*there are: swept"),
    ],
)
def test_what_there_is_not_is_said_with_what_there_is(what: str, says: str, runs: Path) -> None:
    with pytest.raises(RequestError, match=says) as raised:
        given(runs, what)
    assert str(raised.value).startswith(f"--weights 'r2plus1d={what}': ")


def test_how_a_trial_and_an_artifact_both_begin_is_neither(runs: Path) -> None:
    Ledger(runs / "swept").append(record("feed99", index=7, parameters={"seed": 7}, stages={"pretext": KEYS["pretext"]}))
    says = r"'feed' is how artifact finetune/feed000000000002 begins, and trial feed99: say finetune/feed0.* or feed99/STAGE"
    with pytest.raises(RequestError, match=says):
        given(runs, "feed")
    assert given(runs, "feed0") == Path("finetune") / KEYS["finetune"]
    assert given(runs, "feed9") == Path("pretext") / KEYS["pretext"] == given(runs, "feed/pretext")


def test_a_network_has_one_file(runs: Path) -> None:
    """The same one twice is no contradiction."""
    twice = ["r2plus1d=aa1", f"r2plus1d={runs / 'store' / 'finetune' / KEYS['finetune'] / 'weights.safetensors'}"]
    assert len(weights_files(twice, runs, runs / "store")) == 1
    with pytest.raises(RequestError, match=r"--weights gives r2plus1d twice: .*finetune.* and .*pretext"):
        weights_files(["r2plus1d=aa1", "r2plus1d=aa1/pretext"], runs, runs / "store")


def test_a_network_is_one_of_those_there_are(runs: Path) -> None:
    for value in ("resnet=aa1", "r2plus1d", "r2plus1d="):
        with pytest.raises(RequestError, match=r"NETWORK one of r2plus1d, r3d, c3d, vgg, prednet, alexnet$"):
            weights_files([value], runs, runs / "store")


def test_a_trial_of_several_networks_is_asked_which(runs: Path) -> None:
    stages: dict[str, Any] = {"finetune/ucf101": "a", "finetune/hmdb51": "b", "sorting_classifier": "c", "student": "d"}
    one = record("dd1", stages=stages)
    with pytest.raises(NotTrained, match=r"several networks; name one: dd1/finetune/ucf101"):
        stage_of(one)
    assert stage_of(one, "finetune/hmdb51") == "finetune/hmdb51"
    assert stage_of(one, network="alexnet") == "student"
    with pytest.raises(NotTrained, match=r"no stage that leaves a network vgg; of its teachers: dd1/sorting_classifier"):
        stage_of(one, network="vgg")
