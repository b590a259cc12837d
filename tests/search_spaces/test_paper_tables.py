"""Tables as spaces: every configuration is the trial of one cell of the table, and of the paper's own size at its preset."""

from __future__ import annotations

from typing import Any

import pytest

from search_spaces.paper_tables import table_rows, table_space
from search_spaces.papers import PaperTable, has_values, paper_tables
from search_spaces.space import SpaceError, check_space
from trainables.presets import PRESETS, configure
from trainables.settings import flat
from trainables.stages.training import learning_rate
from trainables.tasks import find_task

TABLES = paper_tables()


def cells(table: PaperTable, size: str) -> list[tuple[int, str | None, int | None]]:
    """(number of the row, measure, split) of everything that a report fills; a figure of losses has no measure, and
    splits are told apart at preset paper only."""
    splits = {measure.column: measure.splits if size == "paper" else () for measure in table.measures}
    return [
        (number, column, split)
        for number, row in enumerate(table.rows)
        if not row.quoted
        for column in splits or [None]
        for split in splits.get(column or "") or [None]
    ]


@pytest.mark.parametrize("size", list(PRESETS))
@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_row_of_the_space_is_one_cell_of_the_table(table: str, size: str) -> None:
    """Its settings, as a trial would record them, are that row's and no other's and count for that measure and no other; in the
    table's order, and no cell is left out."""
    paper, space = TABLES[table], table_space(table, size)
    assert space.name == table
    assert space.table == (table if paper.measures or paper.networks else None)
    assert space.figure == (table if paper.is_figure else None)
    assert space.trials == len(space.rows)
    found: list[tuple[int, str | None, int | None]] = []
    for row in space.rows:
        settings = flat(configure(size, {**space.base, **row.parameters}))
        (number,) = (number for number, one in enumerate(paper.rows) if one.holds(settings))
        counted = [measure.column for measure in paper.measures if measure.counts(settings)]
        assert len(counted) == (1 if paper.measures else 0)
        assert size != "paper" or has_values(settings, paper.rows[number].at_paper_size)
        found.append((number, counted[0] if counted else None, row.parameters.get("data.split")))
    assert found == cells(paper, size)


@pytest.mark.parametrize("size", list(PRESETS))
@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_table_passes_the_check_of_spaces(table: str, size: str) -> None:
    check_space(table_space(table, size), size)


def test_table_1_is_run_without_its_quoted_rows_and_with_the_paper_s_epochs() -> None:
    """Rows 10 and 15 to 29, on UCF101 and HMDB51 each; 18 epochs of VideoPace, 200 of VCOP and RSPNet, 40 and 20 of VSPP."""
    at_paper, at_demo = (table_space("auxskd/table1", size) for size in ("paper", "demo"))
    assert len(at_paper.rows) == len(at_demo.rows) == 2 * 16
    assert {row.parameters["pretext.epochs"] for row in at_paper.rows} == {18, 20, 40, 200}
    epochs = {(row.parameters["pretext.task"], row.parameters["pretext.epochs"]) for row in at_paper.rows}
    assert epochs == {("vspp", 40), ("vspp", 20), ("video_pace", 18), ("vcop", 200), ("rspnet", 200)}
    assert all("pretext.epochs" not in row.parameters for row in at_demo.rows)


TASK_S_OWN = ("pretext.task", "pretext.epochs", "pretext.step_epochs", "pretext.schedule")
OF_ROW = ("recipe", "backbone.family", "data.pretraining", "data.downstream")


def test_table_1_compares_methods_like_for_like() -> None:
    """ "Like-for-like comparisons" (Sec. 1): methods differ in task and in length and shape of its schedule only."""
    space = table_space("auxskd/table1", "paper")
    plain = flat(configure("paper", {}))
    for row in space.rows:
        settings = configure("paper", {**space.base, **row.parameters})
        differing = {name for name, value in flat(settings).items() if value != plain[name]}
        assert differing <= {*TASK_S_OWN, *OF_ROW}


def test_what_trains_for_200_epochs_trains_in_the_middle_of_them() -> None:
    """1/10 every 6 epochs is of runs of 20 (Sec. 4.2); VCOP's and RSPNet's rates after 100 epochs are at least half."""
    space = table_space("auxskd/table1", "paper")
    long = [configure("paper", {**space.base, **row.parameters}).pretext for row in space.rows]
    long = [pretext for pretext in long if pretext.epochs == 200]
    assert {pretext.task for pretext in long} == {"vcop", "rspnet"}
    assert all(learning_rate(pretext, 100) >= 0.5 * pretext.learning_rate for pretext in long)
    assert learning_rate(configure("paper", {}).pretext, 100) < 1e-15


def test_table_1_by_published_protocol_has_each_method_s_own_recipe() -> None:
    """Its rows set nothing that the authors' recipe has otherwise."""
    space = table_space("auxskd/table1", "paper")
    depths = {}
    for row in space.rows:
        settings = flat(configure("paper", {**space.base, "protocol": "published", **row.parameters}))
        published = find_task(settings["pretext.task"]).published
        assert {name: settings[name] for name in published} == published
        depths[settings["pretext.task"]] = settings["backbone.depth"]
    assert depths == {"vspp": 18, "video_pace": 10, "vcop": 10, "rspnet": 10}


@pytest.mark.parametrize("table", sorted(name for name in TABLES if name.startswith("auxskd/")))
def test_epochs_are_tenfold_on_ucf101_alone(table: str) -> None:
    """ "For UCF101 we apply (10x more iterations at) 90K iterations per epoch" (Sec. 4.2): 10 clips of each video."""
    for row in (space := table_space(table, "paper")).rows:
        settings = configure("paper", {**space.base, **row.parameters})
        expected = 10 if settings.data.pretraining == "ucf101" else 1
        assert settings.auxskd.clips_per_video == settings.pretext.clips_per_video == expected


def test_circumstances_that_no_row_varies_are_the_paper_s_but_sizes_are_the_preset_s() -> None:
    for size in PRESETS:
        base = table_space("auxskd/table3", size).base
        assert (base["data.pretraining"], base["data.downstream"]) == ("kinetics100", "ucf101")
        assert (base["backbone.family"], base["recipe"]) == ("r2plus1d", "auxskd_pretext")
    figure = {size: table_space("auxskd/figure4-left", size).base for size in PRESETS}
    assert figure["paper"]["pretext.epochs"] == 40
    assert all("pretext.epochs" not in figure[size] for size in ("demo", "small"))
    assert {base["pretext.checkpoints"] for base in figure.values()} == {4}


def test_numbers_that_are_means_over_splits_are_run_on_each_at_preset_paper() -> None:
    """9 rows, 3 readings and 2 controls of them on three splits of UCF101 and of HMDB51 and on CCV."""
    at_paper, at_demo = (table_space("graph/table2", size) for size in ("paper", "demo"))
    assert len(at_paper.rows) == 14 * (3 + 3 + 1)
    assert len(at_demo.rows) == 14 * 3
    assert [row.label for row in at_paper.rows[2:5]] == [
        "Models fusion -> ucf101, split 3", "Models fusion -> hmdb51, split 1", "Models fusion -> hmdb51, split 2",
    ]  # fmt: skip
    assert at_paper.rows[2].parameters == {
        "recipe": "fusion", "teacher_finetune.transferred_layers": None, "data.downstream": "ucf101", "data.split": 3
    }  # fmt: skip
    assert all("data.split" not in row.parameters for row in [*at_demo.rows, at_paper.rows[6]])


def test_costs_are_measured_once_and_judged_by_none_of_the_accuracies() -> None:
    space = table_space("graph/compression", "demo")
    (row,) = space.rows
    settings = configure("demo", {**space.base, **row.parameters})
    assert (settings.recipe, settings.evaluation.measures) == ("distillation", ("compression",))
    assert (space.objective, space.direction) == ("compression/student_parameters", "minimize")


def test_rows_carry_the_printed_values_as_labels() -> None:
    assert [row.label for row in table_rows("auxskd/table3")][5:] == ["0.01 / 0.1", "0.02 / 0.1"]
    assert table_rows("auxskd/table2")[1].label == "R(2+1)D / UCF101 / no aux skd -> hmdb51"
    assert table_rows("auxskd/table4")[0].label == "predict speed / no predict segment / 4 / 1"


def test_an_unknown_table_names_the_valid_ones() -> None:
    for name in ("auxskd/table9", "table2", ""):
        with pytest.raises(SpaceError, match=rf"unknown table '{name}'; valid tables: .*auxskd/table2"):
            table_space(name, "demo")


def test_a_table_s_space_suggests_its_own_values() -> None:
    """So that its rows pass as configurations of a search, and nothing else can come of it."""

    class First:
        def __getattr__(self, name: str) -> Any:
            return lambda name, choices: choices[0]

    space = table_space("auxskd/table2", "demo")
    suggested = space.suggest(First())  # type: ignore[arg-type]
    assert suggested.keys() == set(space.rows[0].parameters)
    for name, value in suggested.items():
        assert value in {row.parameters[name] for row in space.rows}


def test_what_a_row_does_not_name_is_not_suggested_with_it() -> None:
    """Models fusion has no graphs; what has, has all of their settings."""

    class Drawing:
        def __init__(self, recipe: str) -> None:
            self.recipe = recipe

        def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
            return self.recipe if name == "recipe" else choices[0]

    space = table_space("graph/table2", "demo")
    drawn = {recipe: set(space.suggest(Drawing(recipe))) for recipe in ("fusion", "distillation")}  # type: ignore[arg-type]
    shared = {"recipe", "teacher_finetune.transferred_layers", "data.downstream"}
    assert drawn["fusion"] == shared
    graph = {f"graph.{name}" for name in ("logits", "representation", "distance", "sample_cost", "edges")}
    assert drawn["distillation"] == shared | graph
