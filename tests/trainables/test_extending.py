"""More epochs of a training that has ended: what it costs, what it goes on from, and what it does not."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from trainables.data import open_data
from trainables.pipeline import Experiment, Result, Stage, resolve, run_experiment
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, UndeclaredSetting, with_values
from trainables.stages.work import kept_before
from trainables.store import Artifact, Store
from trainables.tasks.vspp import VSPP

Contents = Callable[[Path, Result], dict[str, bytes]]
ONE_STAGE = {"recipe": "pretext", "evaluation.measures": ["linear_probe"], "pretext.step_epochs": 3}


class Watched:
    """Reports of experiments: which epochs of which stage were run, and the notes."""

    def __init__(self, stop: tuple[str, int] | None = None) -> None:
        self.epochs: list[tuple[str, int]] = []
        self.notes: list[str] = []
        self.stop = stop

    def __call__(self, line: dict[str, Any]) -> None:
        if "epoch" in line and line["stage"] == "pretext":
            self.epochs.append((line["stage"], line["epoch"]))
        self.notes += [line["note"]] if "note" in line else []
        if self.stop is not None and (line.get("stage"), line.get("epoch")) == self.stop:
            raise KeyboardInterrupt

    @property
    def of_pretext(self) -> list[int]:
        return [epoch for _, epoch in self.epochs]


@pytest.fixture
def settings(tiny: ExperimentSettings) -> ExperimentSettings:
    return with_values(tiny, {**ONE_STAGE, "pretext.checkpoints": 4})


def of(settings: ExperimentSettings, epochs: int) -> Experiment:
    return Experiment(with_values(settings, {"pretext.epochs": epochs}), 0)


def pretext_of(place: Runtime, result: Result) -> Artifact:
    artifact = Store(place.store).find("pretext", result.stages["pretext"])
    assert artifact is not None
    return artifact


def test_more_epochs_cost_what_they_add_and_leave_what_a_run_in_one_go_leaves(
    settings: ExperimentSettings, runtime: Callable[..., Runtime], contents: Contents
) -> None:
    """Weights, all checkpoints, of which some are kept under other numbers, histories and what follows; of three shorter ones
    the longest serves; what the trial takes alone counts all epochs."""
    straight, place = runtime("straight"), runtime("rungs")
    whole = run_experiment(of(settings, 5), straight, Watched())
    made = {}
    for epochs, expected in ((1, [1]), (4, [2, 3, 4]), (2, [2]), (5, [5])):
        watched = Watched()
        made[epochs] = run_experiment(of(settings, epochs), place, watched)
        assert watched.of_pretext == expected
        assert made[epochs].made["pretext"].extended_from == expected[0] - 1
    assert contents(place.store, made[5]) == contents(straight.store, whole)
    names = {path.name for path in pretext_of(place, made[5]).directory.glob("weights-*")}
    assert names == {f"weights-{number}.safetensors" for number in (1, 2, 3)}
    seconds = [made[epochs].made["pretext"] for epochs in (1, 4, 5)]
    for before, after in itertools.pairwise(seconds):
        assert after.saved == pytest.approx(before.used + before.saved, rel=0.5) and after.used > 0
    found = run_experiment(of(settings, 5), place, Watched()).made["pretext"]
    assert (found.used, found.saved, found.extended_from) == (0.0, pretext_of(place, made[5]).done["seconds"], 4)


@pytest.mark.parametrize(
    ("shorter", "epochs", "checkpoints", "expected"),
    [
        (20, 40, 1, {}),
        (20, 40, 4, {1: 2}),  # after 10 epochs; that after 20 is what the shorter one handed on
        (30, 40, 4, None),  # 10 and 20, of 8, 15 and 23
        (4, 6, 2, None),
        (3, 4, 2, {1: 1}),
        (2, 5, 8, {1: 4, 2: None}),
    ],
)
def test_checkpoints_are_those_after_the_same_epochs(
    shorter: int, epochs: int, checkpoints: int, expected: dict[int, int | None] | None
) -> None:
    """Where the shorter training has none, the longer one begins anew."""
    found = kept_before(shorter, epochs, checkpoints)
    assert (found is None) == (expected is None)
    for number, kept in (expected or {}).items():
        there = (found or {}).get(f"weights-{number}.safetensors")
        assert there == (None if kept is None else f"weights-{kept}.safetensors")


def test_what_is_interrupted_while_it_goes_on_is_no_other(
    settings: ExperimentSettings, runtime: Callable[..., Runtime], contents: Contents
) -> None:
    straight, place = runtime("straight"), runtime("rungs")
    whole = run_experiment(of(settings, 4), straight, Watched())
    run_experiment(of(settings, 2), place, Watched())
    with pytest.raises(KeyboardInterrupt):
        run_experiment(of(settings, 4), place, Watched(stop=("pretext", 3)))
    watched = Watched()
    resumed = run_experiment(of(settings, 4), place, watched)
    assert watched.of_pretext == [4]
    assert resumed.made["pretext"].extended_from == 2
    assert contents(place.store, resumed) == contents(straight.store, whole)


def test_a_damaged_state_is_told_and_the_next_best_serves(
    settings: ExperimentSettings, runtime: Callable[..., Runtime], contents: Contents
) -> None:
    """Of three epochs, then of two as well: the training begins with the first, and ends as ever."""
    straight, place = runtime("straight"), runtime("rungs")
    whole = run_experiment(of(settings, 4), straight, Watched())
    for epochs in (2, 3):
        run_experiment(of(settings, epochs), place, Watched())
    for damaged, expected in ((3, [3, 4]), (2, [1, 2, 3, 4])):
        (path,) = place.store.glob(f"pretext/.*.course/{damaged}/state-{damaged}.safetensors")
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        watched = Watched()
        result = run_experiment(of(settings, 4), place, watched)
        assert watched.of_pretext == expected
        assert any("training state of pretext" in note and "not used" in note for note in watched.notes)
        assert contents(place.store, result) == contents(straight.store, whole)
        shutil.rmtree(pretext_of(place, result).directory)


def test_states_stay_unless_they_are_not_wanted(settings: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    """Outside the artifact, which is whole without; the next training then begins with its first epoch."""
    place = runtime(keep_states=False)
    result = run_experiment(of(settings, 1), place, Watched())
    assert pretext_of(place, result).rung is None
    assert not list(place.store.glob("*/.*"))
    watched = Watched()
    kept = replace(place, keep_states=True)
    longer = pretext_of(place, run_experiment(of(settings, 2), kept, watched))
    assert watched.of_pretext == [1, 2]
    assert longer.rung is not None and longer.rung.name == "2"
    assert Runtime.from_config(place.as_config()) == place


def stage_of(settings: ExperimentSettings, place: Runtime, name: str, seed: int = 0) -> Stage:
    stages = resolve(Experiment(settings, seed), open_data(settings.data, place))
    return next(stage for stage in stages if stage.name == name)


def test_a_course_is_of_everything_but_the_number_of_epochs(
    settings: ExperimentSettings, tiny_graph: ExperimentSettings, runtime: Callable[..., Runtime]
) -> None:
    """Of the code, too: what other code trained is not gone on with. A cosine has another course for each number of epochs, so
    none that is shared, as has what knows where it ends."""
    place = runtime()
    stage = stage_of(settings, place, "pretext")
    assert stage.course is not None
    name = stage.course.name

    def changed(**values: Any) -> str | None:
        course = stage_of(with_values(settings, values), place, "pretext").course
        return None if course is None else course.name

    assert changed(**{"pretext.epochs": 9}) == name
    others: list[Mapping[str, Any]] = [
        {"pretext.decay": 0.5},
        {"pretext.warmup_epochs": 0.5},
        {"vspp.speed_weight": 0.5},
        {"recipe": "auxskd_pretext"},
    ]
    names = [changed(**other) for other in others] + [stage_of(settings, place, "pretext", 1).course.name]  # type: ignore[union-attr]
    of_others = [replace(stage, variant=variant).course for variant in ("other code", "other code, afresh 2")]
    assert len({name, *names, *(course and course.name for course in of_others)}) == 1 + len(names) + len(of_others)
    assert replace(stage, variant=stage.code.digest).course.name == name  # type: ignore[union-attr]
    assert changed(**{"pretext.schedule": "cosine"}) is None
    taught = with_values(tiny_graph, {"teachers.tasks": "sorting+tracking"})
    assert stage_of(taught, place, "tracking").course is None
    assert stage_of(taught, place, "tracking_views").course is None
    assert stage_of(taught, place, "student").course is not None


class Ending(VSPP):
    """VSPP whose loss asks how many epochs there are."""

    def loss(self, network: nn.Module, clips: Tensor, labels: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        mean, metrics = super().loss(network, clips, labels)
        return mean / self.optimisation.epochs, metrics


class Telling(Ending):
    """And says so."""

    knows_end = True


def test_a_task_that_asks_where_it_ends_has_to_say_so(settings: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    """Else two epochs and two more would be another training than four."""
    place = runtime()
    ending, telling = (with_values(settings, {"pretext.task": f"{__name__}:{name}"}) for name in ("Ending", "Telling"))
    with pytest.raises(UndeclaredSetting, match=r"stage pretext reads pretext\.epochs, but more epochs .* `knows_end`"):
        run_experiment(of(ending, 1), place, Watched())
    for epochs in (1, 2):
        watched = Watched()
        run_experiment(of(telling, epochs), place, watched)
        assert watched.of_pretext == [*range(1, epochs + 1)]
