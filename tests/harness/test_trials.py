"""What makes two sweeps the same one, and two trials the same trial."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.ledger import Ledger, Record
from harness.proposals import Exhausted
from harness.trials import Sweep, SweepError
from search_spaces.space import Row, Space, find_space

MakeSweep = Callable[..., Sweep]


def recorded(trial: str, **changes: Any) -> Record:
    values: dict[str, Any] = {
        "trial": trial,
        "row": None,
        "space": "temperatures",
        "preset": "demo",
        "settings": {},
        "data": {},
        "seed": 0,
        "stages": {},
        "metrics": {},
        "seconds": {},
        "outcome": "complete",
        "reason": None,
        "versions": {},
        "command": "",
    }
    return Record.model_validate(values | changes)


def test_a_sweep_may_grow(make_sweep: MakeSweep) -> None:
    make_sweep(trials=2, seeds=1).settle_identity()
    make_sweep(trials=20, seeds=3, command="another").settle_identity()


@pytest.mark.parametrize(
    ("values", "changes", "says"),
    [
        ({"pretext.epochs": 3}, {}, "settings.pretext.epochs: 2 then, 3 now"),
        ({}, {"preset": "small"}, "preset: demo then, small now"),
        ({}, {"search": "random"}, "search: tpe then, random now"),
        ({}, {"space": find_space("finetune")}, "space: temperatures then, finetune now"),
        ({"data.embedded.test": 2}, {}, r"data\.embedded: [0-9a-f]{16} then"),
        ({}, {"narrowing": {"auxskd.teacher_temperature": 0.02}}, "narrowing: None then, .*0.02.* now"),
        ({"protocol": "published"}, {}, "settings.protocol: like_for_like then, published now"),
    ],
)
def test_a_name_is_not_reused_for_another_sweep(
    make_sweep: MakeSweep, values: dict[str, object], changes: dict[str, object], says: str
) -> None:
    make_sweep().settle_identity()
    with pytest.raises(SweepError, match=rf"sweep 'tiny' was started with other settings .*{says}.*--name"):
        make_sweep(values, **changes).settle_identity()
    make_sweep().settle_identity()
    assert json.loads((make_sweep().directory / "sweep.json").read_text())["search"] == "tpe"


def test_a_name_keeps_to_the_weights_that_were_given_first(make_sweep: MakeSweep, tmp_path: Path) -> None:
    """Which may be given later, when what starts from them is retried, and need not be given again."""
    runtime = make_sweep().runtime
    for name in "ab":
        (tmp_path / name).write_text(name)
    first, second = (replace(runtime, weights=(("alexnet", tmp_path / name),)) for name in "ab")
    for given in (runtime, first, runtime, first, replace(first, weights=(*first.weights, ("vgg", tmp_path / "b")))):
        make_sweep(runtime=given).settle_identity()
    with pytest.raises(SweepError, match=r"weights\.alexnet: [0-9a-f]{16} then, [0-9a-f]{16} now"):
        make_sweep(runtime=second).settle_identity()


def test_trials_have_the_same_identity_in_every_sweep(make_sweep: MakeSweep, tmp_path: Path) -> None:
    def trials(sweep: Sweep) -> list[str]:
        return [job.trial for job in sweep.jobs(sweep.proposals(Ledger(sweep.directory)).next())]

    first = trials(make_sweep(seeds=2))
    assert len(set(first)) == 2
    assert trials(make_sweep(seeds=2, name="other", directory=tmp_path / "other", search="grid")) == first
    assert trials(make_sweep({"finetune.epochs": 1}, seeds=2)) != first


def test_stages_made_afresh_and_what_follows_from_them_get_new_keys_until_they_are_asked_for_again(
    make_sweep: MakeSweep,
) -> None:
    """Nothing that is there is touched; the plain command goes on with what was made last."""

    def keys(*fresh: str, settle: bool = True) -> dict[str, str]:
        sweep = make_sweep(fresh=fresh)
        if settle:
            sweep.settle_identity()
        (job,) = sweep.jobs(sweep.proposals(Ledger(sweep.directory)).next())
        return {stage.name: stage.key for stage in job.stages} | {"trial": job.trial}

    first = keys()
    assert [name for name, key in keys("finetune", settle=False).items() if key != first[name]] == [
        "finetune",
        "evaluate",
        "trial",
    ]
    second = keys("pretext")
    assert first.keys() - {name for name in first if first[name] != second[name]} == {"auxskd"}
    assert keys() == second
    third = keys("pretext")
    assert third not in (first, second)
    assert keys() == third


def test_a_stage_that_no_trial_has_cannot_be_made_afresh(make_sweep: MakeSweep) -> None:
    with pytest.raises(SweepError, match=r"--fresh pretex: sweep 'tiny' has no such stage; it has .*; did you mean 'pretext'"):
        make_sweep(fresh=("pretex",)).changes()


T, S = "auxskd.teacher_temperature", "auxskd.student_temperature"


def edited(rows: tuple[Row, ...]) -> dict[str, Space]:
    return {"space": replace(find_space("temperatures"), rows=rows)}


def placed_rows(sweep: Sweep) -> dict[int, str | None]:
    return {position: one.label for position, one in sweep.named(Ledger(sweep.directory)).items()}


ROWS = find_space("temperatures").rows
NEW = Row("new", {T: 0.3, S: 0.3})


def test_a_row_added_in_front_moves_no_other_and_runs(make_sweep: MakeSweep) -> None:
    """By position it would take over the results of the row that stood there."""
    first = make_sweep(**edited(ROWS[:3]), trials=4)
    assert first.settle_identity() == []
    sweep = make_sweep(**edited((NEW, *ROWS[:3])), trials=4)
    assert sweep.settle_identity() == ["new in the space: new, at position 3"]
    assert placed_rows(sweep) == {0: ROWS[0].label, 1: ROWS[1].label, 2: ROWS[2].label, 3: "new"}
    proposals = sweep.proposals(Ledger(sweep.directory))
    assert proposals.size == 4, "all that it names"
    assert sweep.settle_identity() == [], "said once"
    assert placed_rows(make_sweep(**edited((*ROWS[:3], NEW)), trials=4)) == placed_rows(sweep), "wherever it stands in the file"


def run_of(sweep: Sweep) -> list[tuple[int, str | None]]:
    """Position and row of all configurations that it would run."""
    proposals, found = sweep.proposals(Ledger(sweep.directory)), []
    with pytest.raises(Exhausted):
        while True:
            one = proposals.next()
            proposals.close(one.index, None)
            found.append((one.index, one.row))
    return found


A, B, C = (row.label for row in ROWS[:3])


@pytest.mark.parametrize(
    ("recorded_rows", "now", "trials", "expected"),
    [
        ((0, 1, 2), (ROWS[0], ROWS[2], NEW), 3, [(0, A), (1, None), (2, C), (3, "new")]),
        ((0, 2), (ROWS[0], ROWS[2], NEW), 3, [(0, A), (2, C), (3, "new")]),
        ((0, 1, 2), (*ROWS[:3], NEW), 4, [(0, A), (1, B), (2, C), (3, "new")]),
        ((0, 1, 2), (*ROWS[:3], NEW), 3, [(0, A), (1, B), (2, C), (3, "new")]),
        ((0, 1), (*ROWS[:3], NEW), 2, [(0, A), (1, B)]),
        ((), (*ROWS[:3], NEW), 5, [(0, A), (1, B), (2, C), (3, "new"), (4, None)]),
    ],
    ids=["removed and known", "removed and not run", "trials grow", "trials stay", "fewer asked for", "a proposal more"],
)
def test_all_that_an_edited_space_names_runs(
    make_sweep: MakeSweep, recorded_rows: tuple[int, ...], now: tuple[Row, ...], trials: int, expected: list[tuple[int, str]]
) -> None:
    """Unless fewer are asked for than it named at first; nothing that nobody asked for takes the place of a row."""
    sweep = make_sweep(**edited(ROWS[:3]), trials=3)
    sweep.settle_identity()
    for index in recorded_rows:
        Ledger(sweep.directory).append(recorded(f"t{index}", index=index, parameters=dict(ROWS[index].parameters)))
    sweep = make_sweep(**edited(now), trials=trials)
    sweep.settle_identity()
    assert run_of(sweep) == expected


def test_a_row_that_comes_back_runs(make_sweep: MakeSweep) -> None:
    sweeps = [make_sweep(**edited(rows), trials=3) for rows in (ROWS[:3], (*ROWS[:3], NEW), ROWS[:3], (*ROWS[:3], NEW))]
    for number, sweep in enumerate(sweeps):
        sweep.settle_identity()
        if number == 1:
            Ledger(sweep.directory).append(recorded("n", index=3, parameters=dict(NEW.parameters)))
    assert run_of(sweeps[-1])[-1] == (3, "new")


def test_a_removed_row_is_said_and_its_records_stay_where_they_are(make_sweep: MakeSweep) -> None:
    make_sweep(**edited(ROWS[:3])).settle_identity()
    sweep = make_sweep(**edited(ROWS[1:3]))
    assert sweep.settle_identity() == [f"no longer in the space: {ROWS[0].label}; its records stay, as those of a proposal"]
    assert placed_rows(sweep) == {1: ROWS[1].label, 2: ROWS[2].label}


def test_without_the_file_rows_are_known_by_the_records_parameters(make_sweep: MakeSweep) -> None:
    """Deleted, or empty after a power cut: the positions come from the ledger."""
    sweep = make_sweep(**edited(ROWS[:2]))
    sweep.settle_identity()
    ledger = Ledger(sweep.directory)
    for index, row in enumerate(ROWS[:2]):
        ledger.append(recorded(f"t{index}", index=index, parameters=dict(row.parameters)))
    for content in (None, "", "[]"):
        path = sweep.directory / "sweep.json"
        path.unlink() if content is None else path.write_text(content)
        again = make_sweep(**edited((NEW, *ROWS[:2])))
        said = again.settle_identity()
        assert [line for line in said if "is damaged" in line] == ([] if content is None else said[:1])
        assert placed_rows(again) == {0: ROWS[0].label, 1: ROWS[1].label, 2: "new"}
        with pytest.raises(SweepError, match="space: temperatures then, finetune now"):
            path.unlink()
            make_sweep(space=find_space("finetune")).settle_identity()


def test_no_flipped_bit_of_the_file_is_taken_for_what_was_written(make_sweep: MakeSweep) -> None:
    """It is as if there were no file, which is said; then it is whole again."""
    sweep = make_sweep(**edited(ROWS[:2]))
    sweep.settle_identity()
    path = sweep.directory / "sweep.json"
    whole = path.read_bytes()
    for place in range(0, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert sweep.changes() == sweep.settle_identity() != []
        assert path.read_bytes() == whole
        assert sweep.settle_identity() == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"objective": "validation/top5"}, "objective: validation/top1 then, validation/top5 now"),
        ({"direction": "minimize"}, "direction: maximize then, minimize now"),
        ({"suggest": lambda trial: {T: trial.suggest_float(T, 0.1, 0.2), S: 0.1}}, rf"ranges\.{T}: .* then, 0.1 to 0.2 now"),
    ],
)
def test_what_a_space_draws_and_how_it_judges_is_the_sweep_s_identity(
    make_sweep: MakeSweep, changes: dict[str, Any], says: str
) -> None:
    make_sweep().settle_identity()
    with pytest.raises(SweepError, match=says):
        make_sweep(space=replace(find_space("temperatures"), **changes)).settle_identity()


def test_a_sweep_of_before_rows_had_positions_goes_on(make_sweep: MakeSweep) -> None:
    sweep = make_sweep()
    sweep.settle_identity()
    path = sweep.directory / "sweep.json"
    known = json.loads(path.read_text())
    for name in ("digest", "configurations", "objective", "direction", "ranges", "lookahead"):
        del known[name]
    del known["settings"]["compute.accumulation"]  # a setting that came later
    path.write_text(json.dumps(known))
    assert sweep.settle_identity() == []
    assert list(placed_rows(sweep)) == list(range(len(ROWS)))


def test_a_point_added_to_a_grid_moves_no_other(make_sweep: MakeSweep) -> None:
    def grid(*values: float) -> dict[str, Any]:
        points = [{T: value, S: value} for value in values]
        return (
            edited(ROWS[:1])
            | {"search": "grid", "trials": 1 + len(points)}
            | {"space": replace(find_space("temperatures"), rows=ROWS[:1], grid=lambda: points)}
        )

    make_sweep(**grid(0.3, 0.4)).settle_identity()
    sweep = make_sweep(**grid(0.2, 0.4))
    assert len(sweep.settle_identity()) == 2
    proposals = sweep.proposals(Ledger(sweep.directory))
    found = []
    with pytest.raises(Exhausted):
        while True:
            found.append(proposals.next())
    assert [(one.index, one.parameters[T]) for one in found] == [(0, ROWS[0].parameters[T]), (2, 0.4), (3, 0.2)]
