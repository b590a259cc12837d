"""Results of other code: the same code counts, other commits count and are named, edited files do not count."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.reuse import Policy, Reuse
from trainables.pipeline import CODE_FILE, Expected, Experiment, OtherCode, Stage, run_experiment
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, with_values
from trainables.source import EDITED, Code
from trainables.stages import features
from trainables.store import Store, Workplace

NOW = {"trainables.tasks.vspp": "1", "trainables.models": "2"}
BEFORE = NOW | {"trainables.tasks.vspp": "0"}
MINE = {"mine.rotation": "0"}


def stage_of(modules: dict[str, str], state: str, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(Stage, "code", Code(modules, state))
    return Stage(features.KIND, "downstream", "data", {}, 0)


def publish(store: Store, stage: Stage) -> None:
    files = {CODE_FILE: {"modules": dict(stage.code.modules), "state": stage.code.state}}
    Workplace(store, stage.kind, stage.key).publish(settings={}, metrics={}, files=files)


@pytest.mark.parametrize(
    ("before", "now", "policy", "counts"),
    [
        ((NOW, "commit a"), (NOW, EDITED), "same", True),
        ((NOW, EDITED), (NOW, "commit a"), "auto", True),
        ((BEFORE, "commit a"), (NOW, "commit b"), "auto", True),
        ((BEFORE, "version 1"), (NOW, "version 2"), "auto", True),
        ((BEFORE, "version 1"), (NOW, "version 1"), "auto", False),
        ((BEFORE, "commit a"), (NOW, EDITED), "auto", False),
        ((BEFORE, EDITED), (NOW, "commit a"), "auto", False),
        ((BEFORE, "commit a"), (NOW, EDITED), "any", True),
        ((BEFORE, "commit a"), (NOW, "commit b"), "same", False),
        ((NOW | MINE, "commit a"), (NOW | {"mine.rotation": "1"}, "commit b"), "auto", False),
        ((BEFORE | MINE, "commit a"), (NOW | MINE, "commit b"), "auto", True),
    ],
)
def test_what_counts(
    before: tuple[dict[str, str], str],
    now: tuple[dict[str, str], str],
    policy: Policy,
    counts: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A user's own module has no versions of the project: changed, it never counts by itself."""
    store = Store(tmp_path)
    publish(store, stage_of(*before, monkeypatch))
    stage = stage_of(*now, monkeypatch)
    reuse = Reuse(store, policy)
    settled = reuse.settle(stage)
    assert (settled.key == stage.key) == counts
    assert (store.find(settled.kind, settled.key) is not None) == counts
    said = list(reuse.notes())
    assert bool(said) == (before[0] != now[0])
    for line in said:
        changed = "mine.rotation" if now[0].get("mine.rotation") == "1" else "trainables.tasks.vspp"
        assert "1 result of stage features" in line and changed in line and before[1] in line
        assert ("--code same" if counts else "--code any") in line
    assert list(reuse.notes()) == [], "said once"


def test_results_of_two_states_of_the_code_lie_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Going back to the code of before finds its result again."""
    store = Store(tmp_path)
    keys = []
    for modules in (BEFORE, NOW):
        settled = Reuse(store, "auto").settle(stage_of(modules, EDITED, monkeypatch))
        publish(store, settled)
        keys.append(settled.key)
    assert len(set(keys)) == 2
    for modules, key in ((BEFORE, keys[0]), (NOW, keys[1])):
        reuse = Reuse(store, "auto")
        assert reuse.settle(stage_of(modules, EDITED, monkeypatch)).key == key
        assert list(reuse.notes()) == []


def test_results_of_before_there_was_a_digest_count_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    stage = stage_of(NOW, "commit b", monkeypatch)
    Workplace(store, stage.kind, stage.key).publish(settings={}, metrics={})
    reuse = Reuse(store, "auto")
    assert reuse.settle(stage).key == stage.key
    assert "by other code (an earlier version)" in next(iter(reuse.notes()))
    assert Reuse(store, "same").settle(stage).key != stage.key


def test_results_of_an_earlier_version_of_a_stage_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of the version before the last; and of no version of the stage on other data."""
    store = Store(tmp_path)
    stage = stage_of(NOW, "commit b", monkeypatch)
    publish(store, stage)
    reuse = Reuse(store, "any")
    for version in (stage.declared.version + 1, stage.declared.version + 2):
        raised = replace(stage, declared=replace(stage.declared, version=version))
        assert reuse.settle(raised) == raised
        reuse.settle(replace(raised, fingerprint="other data"))
        (said,) = reuse.notes()
        assert said == (
            f"1 result of stage features by its version {stage.declared.version}: not used, the stage runs again by version "
            f"{version}"
        )
    assert list(reuse.notes()) == [], "said once"


def test_a_worker_with_other_code_than_planned_makes_nothing(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    """Files that are edited while a sweep runs: workers that start later would publish other numbers under its keys."""
    place = runtime()
    with pytest.raises(OtherCode, match="the code of stage auxskd is not that with which the sweep was started"):
        run_experiment(Experiment(tiny, 0), place, lambda line: None, {"auxskd": Expected("0123", "", "")})
    assert not place.store.exists()


def test_whose_code_it_is_says_who_planned_it(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    """A copy of edited files, as a node of a cluster gets them, lies in no repository that could tell."""
    settings = with_values(tiny, {"recipe": "scratch", "evaluation.measures": ["finetune"]})
    place = runtime()
    here = run_experiment(Experiment(settings, 0), place, lambda line: None)
    by = {name: Expected(one.code.partition(" ")[0], "planned", "", "edited") for name, one in here.made.items()}
    there = run_experiment(Experiment(settings, 0), place, lambda line: None, by)
    assert {one.code for one in there.made.values()} == {f"{expected.code} (edited)" for expected in by.values()}


def test_a_variant_is_made_beside_what_is_there_and_so_is_what_follows_from_it(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime]
) -> None:
    settings = with_values(tiny, {"evaluation.measures": ["finetune"]})
    place = runtime()
    first = run_experiment(Experiment(settings, 0), place, lambda line: None)
    digest = first.made["pretext"].code.partition(" ")[0]
    again = run_experiment(Experiment(settings, 0), place, lambda line: None, {"pretext": Expected(digest, "another", "")})
    assert [name for name in first.stages if first.stages[name] != again.stages[name]] == ["pretext", "finetune", "evaluate"]
    assert again.metrics == first.metrics


def test_what_another_process_made_by_other_code_since_the_plan_does_not_count(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime]
) -> None:
    """Two checkouts on one store: what lay there when the sweep was planned was settled then, what comes later was not."""
    place = runtime()
    settings = with_values(tiny, {"recipe": "scratch", "evaluation.measures": ["finetune"]})
    first = run_experiment(Experiment(settings, 0), place, lambda line: None)
    path = place.store / "finetune" / first.stages["finetune"]
    other = {CODE_FILE: {"modules": {"trainables.stages.finetune": "0"}, "state": "commit a"}}
    shutil.rmtree(path)
    Workplace(Store(place.store), "finetune", path.name).publish(settings={}, metrics={}, files=other)
    by = Code({"trainables.stages.finetune": "0"}, "commit a").digest
    own = {name: one.code.partition(" ")[0] for name, one in first.made.items()}
    for accepted in (by, ""):
        expected = {name: Expected(code, "", accepted if name == "finetune" else "") for name, code in own.items()}
        if accepted:
            assert run_experiment(Experiment(settings, 0), place, lambda line: None, expected).made["finetune"].code[:16] == by
        else:
            with pytest.raises(OtherCode, match="stage finetune was made by other code since the sweep was planned"):
                run_experiment(Experiment(settings, 0), place, lambda line: None, expected)


def test_a_training_state_of_other_code_is_not_gone_on_with(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for code, found in (("one", None), ("one", {"epoch": 1}), ("two", None)):
        workplace = Workplace(store, "pretext", "k")
        workplace.code = code
        assert workplace.load_state() == found
        workplace.save_state({"epoch": 1})
