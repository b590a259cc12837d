"""Declared tables against the published numbers, the settings of rows worked out by hand, and the matching of settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from reports.paper_table import PUBLISHED_DIRECTORY, PublishedError, paper_tables

TABLES = paper_tables()
TABLE1, TABLE2, TABLE3, TABLE4 = (TABLES[f"auxskd/table{number}"] for number in (1, 2, 3, 4))
FIGURE4 = TABLES["auxskd/figure4-left"]


def test_all_tables_and_figures_of_the_auxskd_paper_are_there() -> None:
    assert [name for name in TABLES if name.startswith("auxskd/")] == [
        *(f"auxskd/table{number}" for number in (1, 2, 3, 4)), "auxskd/figure4-left", "auxskd/figure4-right",
    ]  # fmt: skip
    assert [name for name, table in TABLES.items() if table.is_figure and name.startswith("auxskd/")] == [
        "auxskd/figure4-left", "auxskd/figure4-right",
    ]  # fmt: skip


def test_table3_is_what_the_paper_prints() -> None:
    teacher = [0.01, 0.02, 0.05, 0.07, 0.1, 0.01, 0.02]
    student = [0.01, 0.02, 0.05, 0.07, 0.1, 0.1, 0.1]
    ucf101 = [75.0, 76.3, 75.3, 74.9, 74.9, 75.5, 75.0]
    assert [row.settings["auxskd.teacher_temperature"] for row in TABLE3.rows] == teacher
    assert [row.settings["auxskd.student_temperature"] for row in TABLE3.rows] == student
    assert [row.published["ucf101"] for row in TABLE3.rows] == ucf101
    assert all(row.settings["recipe"] == "auxskd_pretext" for row in TABLE3.rows)
    assert TABLE3.best_row(TABLE3.measures[0]).label == "0.02 / 0.02"


def test_rows_stand_for_the_settings_worked_out_by_hand() -> None:
    assert TABLE2.rows[5].settings == {
        "pretext.task": "vspp", "backbone.family": "r3d", "data.pretraining": "kinetics400", "recipe": "auxskd_pretext",
    }  # fmt: skip
    assert TABLE4.rows[0].settings == {
        "recipe": "pretext", "pretext.task": "vspp", "vspp.speed_weight": 1.0, "vspp.segment_weight": 0.0,
        "vspp.speeds": 4, "vspp.segments": 1,
    }  # fmt: skip
    assert FIGURE4.rows[3].settings == {
        "pretext.task": "vspp", "pretext.checkpoints": 4, "pretext.checkpoint": 2, "recipe": "auxskd_pretext",
    }  # fmt: skip
    assert FIGURE4.rows[3].at_paper_size == {"pretext.epochs": 40}
    tasks = [(row.settings["pretext.task"], row.at_paper_size["pretext.epochs"]) for row in TABLE1.rows if not row.quoted]
    assert tasks == [
        ("vspp", 40), ("vspp", 20), *[("vcop", 200)] * 2, *[("video_pace", 18)] * 2, *[("rspnet", 200)] * 2, ("vspp", 20),
        *[("vcop", 200)] * 2, *[("video_pace", 18)] * 2, *[("rspnet", 200)] * 2, ("vspp", 20),
    ]  # fmt: skip


def test_rows_the_authors_did_not_run_are_quoted() -> None:
    quoted = [row.entry["row"] for row in TABLE1.rows if row.quoted]
    assert quoted == [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14]
    assert not any(row.quoted for table in (TABLE2, TABLE3, TABLE4, FIGURE4) for row in table.rows)
    assert not TABLE1.rows[4].holds({"pretext.task": "video_pace", "recipe": "pretext", "backbone.family": "r3d"})


def test_an_effect_is_measured_against_the_row_without_auxskd() -> None:
    measure = TABLE1.measures[0]
    pairs = {row.entry["row"]: TABLE1.references(row, measure) for row in TABLE1.rows}
    found = {number: references[0].entry["row"] for number, references in pairs.items() if references}
    assert found == {17: 16, 19: 18, 21: 20, 24: 23, 26: 25, 28: 27}
    pairs_of_table2 = [TABLE2.references(row, measure) for row in TABLE2.rows]
    assert pairs_of_table2 == [references for row in TABLE2.rows[::2] for references in ([], [row])]


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_runnable_rows_are_told_apart_by_their_settings(table: Any) -> None:
    runnable = [row for row in table.rows if not row.quoted]
    assert [table.row_of(row.settings) for row in runnable] == runnable
    assert len({row.label for row in table.rows}) == len(table.rows)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_published_numbers_are_those_of_the_file(table: Any) -> None:
    paper, _, name = table.id.partition("/")
    document = yaml.safe_load((PUBLISHED_DIRECTORY / f"{paper}.yaml").read_text(encoding="utf-8"))
    content = (document["tables"] | document["figures"])[name]
    for row, values in zip(table.rows, content["rows"], strict=True):
        assert {**row.entry, **row.published} == dict(zip(content["columns"], values, strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fixd": {}}, "paper/t: fixd: Extra inputs are not permitted"),
        ({"rows": [["A", 1.0], ["C", 2.0]]}, "paper/t, row 2: no settings for kind = C; valid values: A, B"),
        ({"rows": [["A"]]}, "paper/t, row 1: 1 values for 2 columns"),
        ({"settings": {"kin": {}}}, "paper/t: no such column: kin; columns: kind"),
    ],
)
def test_broken_declaration_names_table_and_place(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    content = {
        "title": "T",
        "columns": ["kind", "ucf101"],
        "settings": {"kind": {"A": {"recipe": "pretext"}, "B": {"recipe": "scratch"}}},
        "measures": {"ucf101": {}},
        "rows": [["A", 1.0]],
    }
    document = {"paper": "P", "tables": {"t": {**content, **change}}}
    (tmp_path / "paper.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(PublishedError) as caught:
        paper_tables(tmp_path)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("downstream", "counts"),
    [("ucf101", True), ("hmdb51", False), ("ucf101+hmdb51", True), ("hmdb51+kinetics400", False), ("ucf101x", False)],
)
def test_measure_counts_trials_that_name_its_data_set_alone_or_among_others(downstream: str, counts: bool) -> None:
    measure = TABLE2.measures[0]
    assert measure.column == "ucf101"
    assert measure.counts({"data.downstream": downstream}) is counts


def test_measure_without_settings_takes_any_single_data_set_and_its_own_of_several() -> None:
    (measure,) = TABLE3.measures
    assert measure.counts({"data.downstream": "embedded"})
    assert measure.counts({"data.downstream": "hmdb51+ucf101"})
    assert not measure.counts({"data.downstream": "hmdb51+embedded"})


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, True),
        ({"auxskd.teacher_temperature": 0.1 * 3 / 15}, True),
        ({"auxskd.teacher_temperature": 0.02001}, False),
        ({"auxskd.student_temperature": 0.1}, False),
        ({"recipe": "pretext"}, False),
        ({"auxskd.teacher_temperature": "0.02"}, False),
        ({"finetune.epochs": 3}, True),
    ],
)
def test_row_holds_only_settings_with_its_values(changes: dict[str, object], holds: bool) -> None:
    temperatures = {"auxskd.teacher_temperature": 0.02, "auxskd.student_temperature": 0.02}
    settings = {"recipe": "auxskd_pretext", "pretext.task": "vspp", **temperatures}
    assert TABLE3.rows[1].holds({**settings, **changes}) is holds


def test_row_does_not_hold_settings_that_lack_its_names() -> None:
    assert not TABLE3.rows[1].holds({"recipe": "auxskd_pretext", "pretext.task": "vspp"})


@pytest.mark.parametrize("path", sorted(PUBLISHED_DIRECTORY.glob("*.yaml")), ids=lambda path: path.stem)
def test_published_tables_have_a_value_for_every_column(path: Path) -> None:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, table in document["tables"].items():
        assert table["title"], name
        assert {len(row) for row in table["rows"]} == {len(table["columns"])}, name
