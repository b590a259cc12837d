"""`python -m trainables.store`: what it says of a store of known artifacts and ledgers, and what it removes."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from trainables.store import Artifact, Course, DamagedArtifact, Store, StoreError, Workplace
from trainables.store.__main__ import app

PRETEXT, BEST, OTHER, LOST = (letter * 16 for letter in "abcd")


@pytest.fixture
def filled(store: Store, publish: Callable[..., Artifact]) -> Store:
    """Two trials of sweep `first` share a pretext; the better one's finetuning is also used by `second`; `d` is nobody's."""
    for kind, key in (("pretext", PRETEXT), ("finetune", BEST), ("finetune", OTHER), ("evaluate", LOST)):
        publish(store, key, kind=kind)
    trials = {"first": [("t1", BEST, 0.75), ("t2", OTHER, 0.25), ("t2", OTHER, 0.5)], "second": [("t3", BEST, 0.125)]}
    for sweep, records in trials.items():
        path = store.directory.parent / sweep / "ledger.jsonl"
        path.parent.mkdir()
        for trial, key, value in records:
            stages = {"pretext": PRETEXT, "finetune/hmdb51": key}
            with path.open("a") as file:
                file.write(json.dumps({"trial": trial, "stages": stages, "metrics": {"validation/top1": value}}) + "\n")
    return store


def run(store: Store, *arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*arguments, "--store", str(store.directory)])
    assert result.exit_code == code, result.output
    return result.output


def there(store: Store) -> set[str]:
    return {path.name[0] for path in store.directory.glob("*/[!.]*")}


def test_list_has_a_line_per_artifact_with_those_who_use_it(filled: Store) -> None:
    with (filled.directory.parent / "second" / "ledger.jsonl").open("a") as file:
        file.write('{"trial": "torn\n{"trial": 3, "stages": {}}\n')
    lines = [line.split() for line in run(filled, "list").splitlines()]
    size = sum(path.stat().st_size for path in (filled.directory / "pretext" / PRETEXT).iterdir())
    assert [line[:2] for line in lines[1:5]] == [
        ["evaluate", LOST], ["finetune", BEST], ["finetune", OTHER], ["pretext", PRETEXT]
    ]  # fmt: skip
    assert lines[4][2] == f"{size:,}"
    assert [" ".join(line[6:]) for line in lines[1:5]] == ["-", "first (1), second (1)", "first (1)", "first (2), second (1)"]
    assert " ".join(lines[-1]) == "2 damaged lines of ledgers were passed over"


def test_show_says_what_made_it_and_who_uses_it(filled: Store) -> None:
    for name in (f"finetune/{BEST}", "bb"):
        said = " ".join(run(filled, "show", name).split())
        for part in (
            f"finetune/{BEST}",
            "recipe scratch",
            "weights-1.safetensors",
            "validation/top1 0.25",
            "first t1",
            "second t3",
        ):
            assert part in said
    assert "no artifact" in run(filled, "show", "ee", code=2)


def test_verify_names_what_is_damaged_and_moves_it_away_when_asked(filled: Store) -> None:
    assert run(filled, "verify") == "4 artifacts, 0 damaged\n"
    path = filled.directory / "finetune" / OTHER / "settings.json"
    path.write_text(path.read_text().replace("scratch", "scrotch"))
    assert f"finetune/{OTHER} is damaged: settings.json has other content" in run(filled, "verify", code=1)
    assert there(filled) == set("abcd")
    run(filled, "verify", "--set-aside", code=1)
    assert there(filled) == set("abd")
    assert run(filled, "verify") == "3 artifacts, 0 damaged\n"


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        (["--unreferenced"], "abc"),
        (["--keep-best", "1", "--sweep", "first"], "abd"),
        (["--keep-best", "2", "--sweep", "first"], "abcd"),
        (["--keep-best", "0", "--sweep", "second"], "abcd"),
        (["--older-than", "10"], "acd"),
        (["--older-than", "10", "--unreferenced"], "abcd"),
    ],
)
def test_prune_removes_what_all_rules_select_after_a_dry_run(filled: Store, rules: list[str], left: str) -> None:
    """`b` is of long ago."""
    os.utime(filled.directory / "finetune" / BEST / "done.json", (1, 1))
    dry = run(filled, "prune", *rules)
    assert there(filled) == set("abcd")
    assert f"{4 - len(left)} would go" in dry and all(f"/{key * 16}" in dry for key in set("abcd") - set(left))
    run(filled, "prune", *rules, "--yes")
    assert there(filled) == set(left)
    run(filled, "verify")


def test_prune_of_the_damaged_leaves_what_somebody_works_on(filled: Store) -> None:
    Workplace(filled, "finetune", "e" * 16).save_state({"epoch": 1})
    (filled.directory / "finetune" / OTHER / "done.json").unlink()
    run(filled, "verify", "--set-aside", code=1)
    with filled.claim("finetune", "f" * 16) as claimed:
        assert isinstance(claimed, Workplace)
        claimed.save_state({"epoch": 1})
        assert f"stays: process {os.getpid()}" in run(filled, "prune", "--damaged", "--yes")
        names = {path.name for path in (filled.directory / "finetune").iterdir()}
        assert names == {BEST, f".{'f' * 16}.work", f".{'f' * 16}.lease"}
        assert claimed.load_state() == {"epoch": 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing was asked for"),
        (["--keep-best", "1"], "go together"),
        (["--keep-best", "1", "--sweep", "frist"], "no sweep frist"),
        (["--keep-best", "1", "--sweep", "first", "--objective", "validation/tpo1"], "has the metric validation/tpo1"),
    ],
)
def test_prune_refuses_what_it_cannot_tell(filled: Store, arguments: list[str], said: str) -> None:
    assert said in run(filled, "prune", *arguments, "--yes", code=2)
    assert there(filled) == set("abcd")


def test_prune_refuses_to_guess_what_a_damaged_ledger_names(filled: Store) -> None:
    with (filled.directory.parent / "first" / "ledger.jsonl").open("a") as file:
        file.write("{torn\n")
    assert "1 lines of ledgers" in run(filled, "prune", "--unreferenced", "--yes", code=2)
    assert there(filled) == set("abcd")


def test_errors_of_the_store_survive_the_way_between_processes() -> None:
    for error in (StoreError("no room", 28), DamagedArtifact(Path("store/kind/key"), "done.json is missing")):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.errno) == (type(error), str(error), error.errno)


def left_state(store: Store, publish: Callable[..., Artifact], key: str, epochs: int) -> Artifact:
    """An artifact of a training of so many epochs of one course, with its state."""
    workplace = Workplace(store, "pretext", key)
    workplace.course = Course("f" * 16, epochs, lambda shorter: {})
    workplace.save_state({"w": torch.ones(100)})
    return publish(store, key, workplace)


def test_states_for_more_epochs_go_with_their_artifacts_or_alone(store: Store, publish: Callable[..., Artifact]) -> None:
    """Two of one course; sizes are with them, and a file that is in both counts once."""
    short, long = (left_state(store, publish, letter * 16, epochs) for letter, epochs in (("a", 2), ("b", 4)))
    state = store.directory / "pretext" / f".{'f' * 16}.course" / "4"
    assert long.rung == state
    listed = run(store, "list").splitlines()[2].split()[2]
    found = [path.stat() for place in (long.directory, state) for path in place.iterdir()]
    assert listed == f"{sum({one.st_ino: one.st_size for one in found}.values()):,}"
    os.utime(short.directory / "done.json", (1, 1))
    assert "2 would go" in run(store, "prune", "--older-than", "10", "--states"), "the other one has its artifact"
    run(store, "prune", "--older-than", "10", "--yes")
    assert [path.name for path in state.parent.iterdir()] == ["4"]
    assert "1 would go" in run(store, "prune", "--states")
    run(store, "prune", "--states", "--yes")
    assert not state.parent.exists() and long.rung is None
    long.verify()
