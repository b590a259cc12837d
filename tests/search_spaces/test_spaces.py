"""Every space that comes with the project, and the check that users run on their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from search_spaces.space import Row, Space, SpaceError, check_space, find_space, space_names
from trainables.settings import PRESETS, SettingsError, flat, preset, with_values

T, S = "auxskd.teacher_temperature", "auxskd.student_temperature"


@pytest.mark.parametrize("size", list(PRESETS))
@pytest.mark.parametrize("name", space_names())
def test_spaces_that_come_with_the_project(name: str, size: str) -> None:
    space = find_space(name)
    assert space.name == name
    assert space.summary
    check_space(space, preset(size))


@pytest.mark.parametrize("name", space_names())
def test_suggestions_are_valid_settings(name: str) -> None:
    space = find_space(name)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        with_values(with_values(preset("demo"), space.base), space.suggest(study.ask()))  # type: ignore[arg-type]


def test_temperatures_are_the_paper_s_seven_rows_in_its_order() -> None:
    """auxSKD, Table 3: teacher and student temperature of each column."""
    space = find_space("temperatures")
    assert [(row.parameters[T], row.parameters[S]) for row in space.rows] == [
        (0.01, 0.01),
        (0.02, 0.02),
        (0.05, 0.05),
        (0.07, 0.07),
        (0.1, 0.1),
        (0.01, 0.1),
        (0.02, 0.1),
    ]
    assert space.table == "auxskd/table3"
    points = {(point[T], point[S]) for point in space.grid()}
    assert len(points) == len(space.grid()) == 25
    assert {(row.parameters[T], row.parameters[S]) for row in space.rows} <= points
    assert flat(with_values(preset("demo"), space.base))["recipe"] == "auxskd_pretext"


MINE = """
from search_spaces.space import Row, Space

SPACE = Space(
    name="mine", summary="dropout", rows=(Row("none", {"finetune.dropout": 0.0}),),
    suggest=lambda trial: {"finetune.dropout": trial.suggest_float("finetune.dropout", 0, 0.9)}, grid=lambda: [],
)
OTHER = 3
"""


def test_a_space_of_one_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_space_file.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in (str(tmp_path / "my_space_file.py"), "my_space_file:SPACE"):
        space = find_space(name)
        assert space.name == "mine"
        check_space(space, preset("demo"))
    with pytest.raises(SpaceError, match="'OTHER' is not a"):
        find_space("my_space_file:OTHER")
    with pytest.raises(SpaceError, match="'ABSENT' is not a"):
        find_space("my_space_file:ABSENT")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("temperature", "unknown space 'temperature'; valid spaces: .*temperatures"),
        ("space", "unknown space 'space'"),
        ("absent.py", "there is no file absent.py"),
        ("absent_package:SPACE", "cannot import the space absent_package:SPACE"),
    ],
)
def test_unknown_spaces(name: str, says: str) -> None:
    with pytest.raises(SpaceError, match=says):
        find_space(name)


def base() -> Space:
    return find_space("temperatures")


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": "test/top1"},
        {"base": {"recipe": "none"}},
        {"rows": (Row("a", {T: -1}),)},
        {"rows": (Row("a", {"auxskd.temperature": 1}),)},
        {"grid": lambda: [{T: 0}]},
        {"suggest": lambda trial: {T: trial.suggest_float(T, -1, 1)}},
        {"suggest": lambda trial: {"auxskd.temperature": 1}},
        {"rows": (Row("a", {T: 0.1, S: 0.1}), Row("a", {T: 0.2, S: 0.1}))},
    ],
)
def test_spaces_that_break_the_contract_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises((SpaceError, SettingsError)):
        check_space(replace(base(), **changes), preset("demo"))


def test_two_rows_of_one_configuration_are_refused() -> None:
    """They would be one trial under two labels."""
    rows = (Row("a", {T: 0.1, S: 0.1}), Row("b", {T: 0.1, S: 0.1}))
    with pytest.raises(SpaceError, match=r"a.*b"):
        check_space(replace(base(), rows=rows), preset("demo"))


def test_a_row_that_varies_what_is_never_suggested_is_refused() -> None:
    """Its parameters could not be compared with those of the proposals."""
    with pytest.raises(SpaceError, match=r"vspp\.speeds"):
        check_space(replace(base(), rows=(Row("a", {"vspp.speeds": 2}),)), preset("demo"))


def test_a_lookahead_below_one_is_refused() -> None:
    """A proposal would wait for its own result, for ever."""
    with pytest.raises(SpaceError, match="lookahead"):
        check_space(replace(base(), lookahead=0), preset("demo"))
