"""Every space that comes with the project, and the check that users run on their own."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from search_spaces.space import Row, Space, SpaceError, check_space, find_space, space_names
from trainables.presets import PRESETS, configure
from trainables.settings import SettingsError, flat

T, S = "auxskd.teacher_temperature", "auxskd.student_temperature"


@pytest.mark.parametrize("size", list(PRESETS))
@pytest.mark.parametrize("name", space_names())
def test_spaces_that_come_with_the_project(name: str, size: str) -> None:
    space = find_space(name)
    assert space.name == name
    assert space.summary
    check_space(space, size)


@pytest.mark.parametrize("name", space_names())
def test_most_suggestions_are_valid_settings(name: str) -> None:
    """All but those that have nothing to learn, which a search draws again: of `segments` with both weights 0 or one class
    left, and of `components` without any graph."""
    space = find_space(name)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    valid = 0
    for _ in range(40):
        parameters = {**space.base, **space.suggest(study.ask())}  # type: ignore[arg-type]
        try:
            configure("demo", parameters)
            valid += 1
        except SettingsError as error:
            assert name in ("segments", "components"), error
            assert "nothing" in str(error)
    assert valid == 40 if name not in ("segments", "components") else valid > 20


@pytest.mark.parametrize("name", space_names())
def test_a_grid_holds_each_point_once_and_every_row_that_it_can(name: str) -> None:
    """Rows are run before the grid, and what is in both once. Only of `graph` and `auxskd_steps`
    the points need not all vary the same."""
    space = find_space(name)
    points = [json.dumps(point, sort_keys=True) for point in space.points()]
    assert len(points) == len(set(points)) > 0
    names = {tuple(sorted(point)) for point in space.points()}
    of_rows = {tuple(sorted(row.parameters)) for row in space.rows}
    assert of_rows <= names, "the same settings vary"
    assert names == of_rows or name in ("graph", "auxskd_steps")


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
    points = {(point[T], point[S]) for point in space.points()}
    assert len(points) == len(space.points()) == 25
    assert {(row.parameters[T], row.parameters[S]) for row in space.rows} <= points
    assert flat(configure("demo", space.base))["recipe"] == "auxskd_pretext"


MINE = """
from search_spaces.space import Row, Space

SPACE = Space(
    name="mine", summary="dropout", rows=(Row("none", {"finetune.dropout": 0.0}),),
    suggest=lambda trial: {"finetune.dropout": trial.suggest_float("finetune.dropout", 0, 0.9)},
)
OTHER = 3
"""


def test_a_space_of_one_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_space_file.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in (str(tmp_path / "my_space_file.py"), "my_space_file:SPACE"):
        space = find_space(name)
        assert space.name == "mine"
        check_space(space, "demo")
        with pytest.raises(SpaceError, match="mine has no grid"):
            space.points()
    with pytest.raises(SpaceError, match="'OTHER' is not a"):
        find_space("my_space_file:OTHER")
    with pytest.raises(SpaceError, match="'ABSENT' is not a"):
        find_space("my_space_file:ABSENT")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("temperature", "unknown space 'temperature'; valid spaces: .*temperatures, .*; did you mean 'temperatures'"),
        ("space", "unknown space 'space'"),
        ("absent.py", "there is no file absent.py"),
        ("absent_package:SPACE", "cannot import the space absent_package:SPACE"),
        *((name, f"unknown space '{name}'; valid spaces: ") for name in (":", "..:x", "a b:SPACE")),
    ],
)
def test_unknown_spaces(name: str, says: str) -> None:
    with pytest.raises(SpaceError, match=says):
        find_space(name)


@pytest.mark.parametrize(
    ("code", "place"),
    [
        ("1 / 0", "line 1: ZeroDivisionError: division by zero"),
        ("import search_spaces\nf(", "line 2: SyntaxError: '.' was never closed"),
        ("def stop():\n    raise SystemExit('two\\nlines')\nstop()", "line 2: SystemExit: two lines"),
        ("import numpy\nnumpy.zeros(-1)", "line 2: ValueError: negative dimensions are not allowed"),
        ("import absent_package", "line 1: ModuleNotFoundError: No module named 'absent_package'"),
        ("raise BaseException('x')", "line 1: BaseException: x"),
        (MINE.replace("0, 0.9", "0"), "line 6: TypeError: .*suggest_float.*missing 1 required"),
        (MINE.replace("},\n)", "},\n    grid=lambda: [{}][1],\n)"), "line 7: IndexError: list index out of range"),
    ],
    ids=["exception", "syntax", "exit", "library", "import", "no exception", "suggest", "grid"],
)
def test_what_a_space_s_own_code_raises_is_one_line_with_file_and_line(code: str, place: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(code)
    with pytest.raises(SpaceError, match=rf"^[^\n]*: {path}, {place}[^\n]*$"):
        check_space(find_space(str(path)), "demo")


def base() -> Space:
    return find_space("temperatures")


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": "test/top1"},
        {"direction": "up"},
        {"suggest": lambda trial: None},
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
        check_space(replace(base(), **changes), "demo")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": None}, "a space is called None"),
        ({"summary": 3}, "expected a name and a summary"),
        ({"rows": (Row("a", None),)}, r"Row\(label='a', parameters=None\); expected"),  # type: ignore[arg-type]
        ({"rows": (Row("a", {1: 2}),)}, "expected Row"),  # type: ignore[dict-item]
        ({"base": [1]}, r"base = \[1\]; expected values by the settings' names"),
        ({"grid": 3}, "grid = 3; expected functions"),
        ({"suggest": "suggest"}, "expected functions"),
        ({"objective": None}, "objective = None; expected a metric's name"),
        ({"trials": "3"}, "trials = '3'; both are whole numbers"),
        ({"table": "auxskd/table9"}, "unknown table 'auxskd/table9'; valid: .*auxskd/table3"),
        ({"figure": "auxskd/table3"}, "unknown figure 'auxskd/table3'; valid: auxskd/figure4-left"),
        ({"suggest": lambda trial: {1: 2}}, r"suggest\(\) gives \{1: 2\}, not parameters by name"),
        ({"grid": lambda: [{1: 2}]}, r"grid\(\) gives"),
    ],
)
def test_what_is_of_another_kind_in_a_space_is_named(changes: dict[str, Any], says: str) -> None:
    """Each of them ended in a traceback somewhere behind."""
    with pytest.raises(SpaceError, match=says):
        check_space(replace(base(), **changes), "demo")


def test_two_rows_of_one_configuration_are_refused() -> None:
    """They would be one trial under two labels."""
    rows = (Row("a", {T: 0.1, S: 0.1}), Row("b", {T: 0.1, S: 0.1}))
    with pytest.raises(SpaceError, match=r"a.*b"):
        check_space(replace(base(), rows=rows), "demo")


def test_a_row_that_varies_what_is_never_suggested_is_refused() -> None:
    """Its parameters could not be compared with those of the proposals."""
    with pytest.raises(SpaceError, match=r"vspp\.speeds"):
        check_space(replace(base(), rows=(Row("a", {"vspp.speeds": 2}),)), "demo")


def test_a_lookahead_below_one_is_refused() -> None:
    """A proposal would wait for its own result, for ever."""
    with pytest.raises(SpaceError, match="lookahead"):
        check_space(replace(base(), lookahead=0), "demo")


def test_changes_of_the_user_are_part_of_the_check() -> None:
    """What the space is run with: a value that no row goes with, one that makes all rows fit, and one under a row's own."""
    space = find_space("epochs")
    with pytest.raises(SettingsError, match="is more than checkpoints = 2"):
        check_space(space, "demo", {"pretext.checkpoints": 2})
    check_space(space, "demo", {"pretext.epochs": 8, "pretext.checkpoint": 2})
    with pytest.raises(SettingsError, match="unknown setting"):
        check_space(space, "demo", {"pretext.temperature": 2})
    with pytest.raises(SettingsError, match="unknown preset"):
        check_space(space, "tiny")


def rows(name: str) -> list[dict[str, Any]]:
    return [dict(row.parameters) for row in find_space(name).rows]


def test_segments_are_table_4_s_rows() -> None:
    """Q = 4; Z, and which of the two sub-tasks: as printed."""
    names = ("vspp.segments", "vspp.speed_weight", "vspp.segment_weight", "vspp.speeds")
    assert [tuple(row[name] for name in names) for row in rows("segments")] == [
        (1, 1.0, 0.0, 4),
        (2, 1.0, 1.0, 4),
        (3, 1.0, 1.0, 4),
        (4, 1.0, 1.0, 4),
        (4, 1.0, 0.0, 4),
        (4, 0.0, 1.0, 4),
    ]
    base = find_space("segments").base
    assert (base["recipe"], base["backbone.family"]) == ("pretext", "r3d")
    points = find_space("segments").points()
    assert {point["vspp.segments"] for point in points} == {1, 2, 3, 4, 8}


def test_auxskd_is_table_2_each_row_once_and_finetuned_on_both_sets() -> None:
    names = ("backbone.family", "data.pretraining", "recipe")
    pairs = [("r2plus1d", "ucf101"), ("r2plus1d", "kinetics100"), ("r3d", "kinetics400"), ("r3d", "kinetics100")]
    assert [tuple(row[name] for name in names) for row in rows("auxskd")] == [
        (family, data, recipe) for family, data in pairs for recipe in ("pretext", "auxskd_pretext")
    ]
    assert find_space("auxskd").base["data.downstream"] == "ucf101+hmdb51"


def test_epochs_are_the_four_quarters_with_and_without_auxskd() -> None:
    assert [(row["pretext.checkpoint"], row["recipe"]) for row in rows("epochs")] == [
        (number, recipe) for number in (1, 2, 3, 4) for recipe in ("pretext", "auxskd_pretext")
    ]


def test_pretext_is_every_task_with_and_without_auxskd_on_both_backbones() -> None:
    found = {(row["pretext.task"], row["recipe"], row["backbone.family"]) for row in rows("pretext")}
    tasks = ("vspp", "video_pace", "vcop", "rspnet")
    assert found == set(itertools.product(tasks, ("pretext", "auxskd_pretext"), ("r2plus1d", "r3d")))


def test_teachers_are_all_sets_of_two_or_more() -> None:
    """Six pairs, four sets of three, and all four, which come first."""
    sets = [row["teachers.tasks"].split("+") for row in rows("teachers")]
    assert len(sets) == len({frozenset(tasks) for tasks in sets}) == 11
    assert [len(tasks) for tasks in sets] == [4, *[3] * 4, *[2] * 6]
    assert set(itertools.chain(*sets)) == {"sorting", "ego_motion", "tracking", "prediction"}


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("tpe", [False, True])
def test_what_a_graph_is_made_of_is_asked_only_where_it_is_on(tpe: bool) -> None:
    """In the settings that come of it at least one graph is on; each combination is met, and Optuna accepts all draws."""
    space = find_space("graph")
    samplers = optuna.samplers
    sampler = samplers.TPESampler(seed=0, multivariate=True, group=True) if tpe else samplers.RandomSampler(seed=0)
    study = optuna.create_study(sampler=sampler)
    of_logits = {"graph.imitation_weight", "graph.distance", "graph.edges", "graph.representation"}
    of_maps = {"graph.sketch", "graph.bandwidth", "graph.representation_share", "graph.representation_edges"}
    met = set()
    for number in range(40):
        trial = study.ask()
        parameters = space.suggest(trial)  # type: ignore[arg-type]
        study.tell(trial, number / 40)
        graph = configure("demo", {**space.base, **parameters}).graph
        assert "graph" in (graph.logits, graph.representation)
        expected = {"graph.logits"} | (of_logits if graph.logits == "graph" else set())
        expected |= of_maps if graph.representation == "graph" else set()
        if graph.logits == "graph":
            expected |= {"graph.edge_temperature"} if graph.edges != "uniform" else set()
            expected |= {"graph.sample_cost"} if graph.distance in ("em", "sinkhorn") else set()
            expected |= {"graph.gain_sign", "graph.gain_of"} if graph.edges == "gain" else set()
            expected |= {"graph.targets"} if graph.edges != "learned" else set()
        assert set(parameters) == expected
        met.add((graph.logits, graph.representation))
    assert met == {("graph", "graph"), ("graph", "none"), ("none", "graph")}


def test_rows_of_graph_are_each_graph_alone_and_both_then_readings_of_the_logits_graph() -> None:
    settings = [configure("demo", {**find_space("graph").base, **row}).graph for row in rows("graph")]
    forms = [(graph.logits, graph.representation) for graph in settings]
    assert forms == [("graph", "graph"), ("graph", "none"), ("none", "graph"), *[("graph", "none")] * 5]
    readings = [(graph.sample_cost, graph.distance, graph.gain_sign, graph.gain_of, graph.targets) for graph in settings[3:]]
    literal = (0.2, "em", "imitated_well", "running_means", "own")
    assert [sum(one != other for one, other in zip(reading, literal, strict=True)) for reading in readings] == [1] * 5
    assert len({*readings, literal}) == 6


def test_lambda_goes_from_labels_alone_to_teachers_alone() -> None:
    points = [point["graph.imitation_weight"] for point in find_space("lambda").points()]
    assert (min(points), max(points)) == (0.0, 1.0)
    assert 0.6 in points


def test_rows_of_the_paper_are_preset_paper_s_values() -> None:
    """What the spaces without a table call the paper's row."""
    paper = flat(configure("paper", {}))
    for name in ("finetune", "lambda", "loss_weights", "skd"):
        (row,) = (row for row in find_space(name).rows if row.label == "paper")
        assert {setting: paper[setting] for setting in row.parameters} == dict(row.parameters), name
    released = next(row for row in find_space("skd").rows if row.label == "released code").parameters
    changed = {setting: value for setting, value in released.items() if paper[setting] != value}
    assert changed == {"auxskd.memory_bank": 15360, "auxskd.predictor_layers": 2, "auxskd.views": "distinct"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rows": ({"finetune.epochs": 1},)}, "expected a tuple of Row"),
        ({"rows": None}, "expected a tuple of Row"),
        ({"grid": lambda: 5}, r"grid\(\) gives 5, not a list of parameters by name"),
        ({"grid": lambda: [1, 2]}, r"grid\(\) gives \[1, 2\], not a list of parameters by name"),
    ],
)
def test_rows_and_points_of_another_kind_are_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(SpaceError, match=says):
        replace(find_space("recipes"), **change).points()
