"""Declared tables against the published numbers, the settings of rows worked out by hand, and the matching of settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from search_spaces.papers import PUBLISHED, PublishedError, paper_tables

TABLES = paper_tables()
TABLE1, TABLE2, TABLE3, TABLE4 = (TABLES[f"auxskd/table{number}"] for number in (1, 2, 3, 4))
FIGURE4 = TABLES["auxskd/figure4-left"]
GRAPH1, GRAPH2 = TABLES["graph/table1"], TABLES["graph/table2"]


def test_table3_is_what_the_paper_prints() -> None:
    teacher = [0.01, 0.02, 0.05, 0.07, 0.1, 0.01, 0.02]
    student = [0.01, 0.02, 0.05, 0.07, 0.1, 0.1, 0.1]
    ucf101 = [75.0, 76.3, 75.3, 74.9, 74.9, 75.5, 75.0]
    assert [row.parameters["auxskd.teacher_temperature"] for row in TABLE3.rows] == teacher
    assert [row.parameters["auxskd.student_temperature"] for row in TABLE3.rows] == student
    assert [row.published["ucf101"] for row in TABLE3.rows] == ucf101
    assert all(row.parameters["recipe"] == "auxskd_pretext" for row in TABLE3.rows)
    assert TABLE3.best_row(TABLE3.measures[0]).label == "0.02 / 0.02"


def test_rows_stand_for_the_settings_worked_out_by_hand() -> None:
    assert TABLE2.rows[5].parameters == {
        "pretext.task": "vspp", "backbone.family": "r3d", "data.pretraining": "kinetics400", "recipe": "auxskd_pretext",
    }  # fmt: skip
    assert TABLE4.rows[0].parameters == {
        "recipe": "pretext", "pretext.task": "vspp", "vspp.speed_weight": 1.0, "vspp.segment_weight": 0.0,
        "vspp.speeds": 4, "vspp.segments": 1,
    }  # fmt: skip
    assert FIGURE4.rows[3].parameters == {
        "pretext.task": "vspp", "pretext.checkpoints": 4, "pretext.checkpoint": 2, "recipe": "auxskd_pretext",
    }  # fmt: skip
    assert FIGURE4.rows[3].at_paper_size == FIGURE4.fixed_at_paper_size == {"pretext.epochs": 40}
    tasks = [(row.parameters["pretext.task"], row.at_paper_size["pretext.epochs"]) for row in TABLE1.rows if not row.quoted]
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


def test_table_2_of_the_graph_paper_is_what_the_paper_prints() -> None:
    assert [tuple(row.published.values()) for row in GRAPH2.rows if not row.reading] == [
        (57.9, 19.4, 45.2), (58.3, 23.5, 47.1), (60.1, 24.3, 48.1), (62.5, 27.2, 49.7), (65.3, 30.9, 52.6), (61.7, 28.4, 56.3),
        (66.4, 33.4, 58.0), (67.0, 34.2, 58.9), (68.9, 35.1, 62.6),
    ]  # fmt: skip
    assert [measure.heading for measure in GRAPH2.measures] == ["UCF101 top-1", "HMDB51 top-1", "CCV mAP"]


def test_its_rows_stand_for_the_baselines_of_section_5_5() -> None:
    names = ("graph.logits", "graph.representation", "graph.distance", "graph.edges")
    assert [row.parameters["recipe"] for row in GRAPH2.rows[:9]] == ["fusion", "ensemble", *["distillation"] * 7]
    assert [tuple(row.parameters[name] for name in names) for row in GRAPH2.rows[2:9]] == [
        ("average", "none", "em", "gain"),
        ("graph", "none", "cosine", "learned"),
        ("graph", "none", "em", "gain"),
        ("none", "single", "em", "gain"),
        ("none", "graph", "em", "gain"),
        ("graph", "graph", "cosine", "learned"),
        ("graph", "graph", "em", "gain"),
    ]


def test_other_readings_of_a_row_follow_it_with_its_numbers_and_without_effects() -> None:
    """Eq. 5 as printed, which does not see samples, and between classes: the paper's effect of the row is counted once."""
    readings = GRAPH2.rows[9:12]
    assert [(row.label, row.published["ucf101"]) for row in readings] == [
        ("Logits graph (Gl), without a cost of samples", 65.3),
        ("Logits graph (Gl), between classes", 65.3),
        ("Gl + Gr, without a cost of samples", 68.9),
    ]
    gl, both = GRAPH2.rows[4], GRAPH2.rows[8]
    assert gl.parameters["graph.sample_cost"] == both.parameters["graph.sample_cost"] == 0.2
    assert [dict(row.parameters.items() - of.parameters.items()) for row, of in zip(readings, (gl, gl, both), strict=True)] == [
        {"graph.sample_cost": 0.0}, {"graph.distance": "class_em"}, {"graph.sample_cost": 0.0},
    ]  # fmt: skip
    assert not any(GRAPH2.references(row, measure) for row in readings for measure in GRAPH2.measures)
    assert not any(reading in pair for pair in GRAPH2.pairs for reading in readings)


def test_controls_have_scratch_teachers_no_published_numbers_and_no_effects() -> None:
    controls = GRAPH2.rows[12:]
    assert [row.label for row in controls] == ["Models fusion, teachers from scratch", "Gl + Gr, teachers from scratch"]
    for control, of in zip(controls, (GRAPH2.rows[0], GRAPH2.rows[8]), strict=True):
        assert control.parameters == {**of.parameters, "teacher_finetune.transferred_layers": 0}
        assert set(control.published.values()) == {None}
        assert not any(GRAPH2.references(control, measure) for measure in GRAPH2.measures)
        assert GRAPH2.row_of(control.parameters) is control
        assert GRAPH2.row_of(of.parameters) is of


def test_table_1_of_the_graph_paper_runs_alexnet_and_ours_and_quotes_the_rest() -> None:
    assert [row.label for row in GRAPH1.rows if not row.quoted] == [
        "AlexNet, random initialisation", "AlexNet, ImageNet pretrained", "Gl + Gr",
    ]  # fmt: skip
    imagenet = {**GRAPH1.rows[-1].parameters, "student.initialisation": "imagenet"}
    assert GRAPH1.row_of(imagenet) is None


def test_effects_are_the_pairs_that_the_graph_paper_speaks_of() -> None:
    measure = GRAPH2.measures[2]
    published = {
        (row.label, reference.label): round(row.published["ccv"] - reference.published["ccv"], 1)  # type: ignore[operator]
        for row in GRAPH2.rows
        for reference in GRAPH2.references(row, measure)
    }
    assert published == {
        ("KD (uniform)", "Models fusion"): 2.9,
        ("KD (uniform)", "Models ensemble"): 1.0,
        ("Gl + Gr", "Models fusion"): 17.4,
        ("Gl + Gr", "Models ensemble"): 15.5,
        ("Logits graph (MMGD)", "KD (uniform)"): 1.6,
        ("Logits graph (Gl)", "KD (uniform)"): 4.5,
        ("Feature graph distill (Gr)", "KD (uniform)"): 9.9,
        ("Logits graph (Gl)", "Logits graph (MMGD)"): 2.9,
        ("Feature graph distill (Gr)", "Feature distill (uniform)"): 1.7,
        ("Gl + Gr", "MMGD + Gr"): 3.7,
        ("MMGD + Gr", "Logits graph (MMGD)"): 9.2,
        ("Gl + Gr", "Logits graph (Gl)"): 10.0,
    }


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_runnable_rows_are_told_apart_by_their_settings(table: Any) -> None:
    runnable = [row for row in table.rows if not row.quoted]
    assert [table.row_of(row.parameters) for row in runnable] == runnable
    assert len({row.label for row in table.rows}) == len(table.rows)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_published_numbers_are_those_of_the_file(table: Any) -> None:
    paper, _, name = table.id.partition("/")
    document = yaml.safe_load((PUBLISHED / f"{paper}.yaml").read_text(encoding="utf-8"))
    content = (document["tables"] | document["figures"])[name]
    as_printed = [row for row in table.rows if not row.reading]
    for row, values in zip(as_printed, content["rows"], strict=True):
        assert {**row.entry, **row.published} == dict(zip(content["columns"], values, strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fixd": {}}, "paper/t: fixd: Extra inputs are not permitted"),
        ({"rows": [["A", 1.0], ["C", 2.0]]}, "paper/t, row 2: no settings for kind = C; valid values: A, B"),
        ({"rows": [["A"]]}, "paper/t, row 1: 1 values for 2 columns"),
        ({"settings": {"kin": {}}}, "paper/t: no such column: kin; columns: kind"),
        ({"effects": [{"from": 1, "to": 3}]}, "paper/t, effects: row 3 is not among those that can be run; rows: 1 to 2"),
        ({"quoted": [1], "effects": [{"from": 1, "to": 2}]}, "paper/t, effects: row 1 is not among"),
        ({"readings": {"3": {"x": {}}}}, "paper/t, readings: row 3 is not among those that can be run; rows: 1 to 2"),
        ({"quoted": [1], "readings": {"1": {"x": {}}}}, "paper/t, readings: row 1 is not among"),
        ({"controls": {"3": {"x": {}}}}, "paper/t, controls: row 3 is not among those that can be run; rows: 1 to 2"),
        ({"metrics": {"ccv": "test/map"}}, "paper/t: no such measure: ccv; measures: ucf101"),
        ({"metrics": {"ucf101": "test/top5"}}, "paper/t: metrics.ucf101: Input should be"),
        ({"splits": {"hmdb51": [1, 2]}}, "paper/t: no such measure: hmdb51; measures: ucf101"),
    ],
)
def test_broken_declaration_names_table_and_place(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    content = {
        "title": "T",
        "columns": ["kind", "ucf101"],
        "settings": {"kind": {"A": {"recipe": "pretext"}, "B": {"recipe": "scratch"}}},
        "measures": {"ucf101": {}},
        "rows": [["A", 1.0], ["B", 2.0]],
    }
    document = {"paper": "P", "tables": {"t": {**content, **change}}}
    (tmp_path / "paper.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(PublishedError) as caught:
        paper_tables(tmp_path)
    assert str(caught.value).startswith(message)


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
