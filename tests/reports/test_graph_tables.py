"""Tables of the graph paper: numbers and settings against the paper, effects of pairs of rows, mAP, means over splits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.ledger import Record
from reports.comparable_groups import read_trials
from reports.paper_comparison import Cell, Comparison, compare, fill
from reports.paper_table import PublishedError, Row, paper_tables
from reports.table_sheet import sheet

Make = Callable[..., Record]
TABLES = paper_tables()
TABLE1, TABLE2 = TABLES["graph/table1"], TABLES["graph/table2"]
MMGD_GR, OURS = TABLE2.rows[7], TABLE2.rows[8]
ON_UCF101 = {"data.pretraining": "ucf101", "data.pretraining_share": 1.0, "graph.imitation_weight": 0.6}


@pytest.fixture
def make(make_trial_of_row: Make) -> Make:
    """A trial of a row, pretrained on UCF101; `split` has a copy of its own, as real lists do."""

    def trial(row: Row, seed: int, top1: dict[str, float], split: int = 1, **changes: Any) -> Record:
        versions = {name: {"fingerprint": f"{name} {split}"} for name in ("ucf101", *top1)}
        settings = {**ON_UCF101, "data.split": split, **changes.pop("settings", {})}
        name = f"{row.label} {seed} {split} {sorted(top1)} {changes}"
        return make_trial_of_row(row, seed, top1, versions, settings=settings, **{"trial": name, **changes})

    return trial


def cell_of(comparison: Comparison, row: Row, measure: str = "ucf101") -> Cell:
    place = [one.column for one in TABLE2.measures].index(measure)
    return next(compared.cells[place] for compared in comparison.rows if compared.row.label == row.label)


def test_table_2_is_what_the_paper_prints() -> None:
    assert [tuple(row.published.values()) for row in TABLE2.rows] == [
        (57.9, 19.4, 45.2), (58.3, 23.5, 47.1), (60.1, 24.3, 48.1), (62.5, 27.2, 49.7), (65.3, 30.9, 52.6), (61.7, 28.4, 56.3),
        (66.4, 33.4, 58.0), (67.0, 34.2, 58.9), (68.9, 35.1, 62.6),
    ]  # fmt: skip
    assert [measure.heading for measure in TABLE2.measures] == ["UCF101 top-1", "HMDB51 top-1", "CCV mAP"]


def test_rows_of_table_2_stand_for_the_baselines_of_section_5_5() -> None:
    names = ("graph.logits", "graph.representation", "graph.distance", "graph.edges")
    assert [row.settings["recipe"] for row in TABLE2.rows] == ["fusion", "ensemble", *["distillation"] * 7]
    assert [tuple(row.settings[name] for name in names) for row in TABLE2.rows[2:]] == [
        ("average", "none", "em", "gain"),
        ("graph", "none", "cosine", "learned"),
        ("graph", "none", "em", "gain"),
        ("none", "single", "em", "gain"),
        ("none", "graph", "em", "gain"),
        ("graph", "graph", "cosine", "learned"),
        ("graph", "graph", "em", "gain"),
    ]


def test_table_1_runs_alexnet_and_ours_and_quotes_the_rest() -> None:
    assert [row.label for row in TABLE1.rows if not row.quoted] == [
        "AlexNet, random initialisation", "AlexNet, ImageNet pretrained", "Gl + Gr",
    ]  # fmt: skip
    imagenet = {**TABLE1.rows[-1].settings, "student.initialisation": "imagenet"}
    assert TABLE1.row_of(imagenet) is None


def test_effects_are_the_pairs_that_the_paper_speaks_of() -> None:
    measure = TABLE2.measures[2]
    published = {
        (row.label, reference.label): round(row.published["ccv"] - reference.published["ccv"], 1)  # type: ignore[operator]
        for row in TABLE2.rows
        for reference in TABLE2.references(row, measure)
    }
    assert published == {
        ("Logits graph (MMGD)", "KD (uniform)"): 1.6,
        ("Logits graph (Gl)", "KD (uniform)"): 4.5,
        ("Feature graph distill (Gr)", "KD (uniform)"): 9.9,
        ("Logits graph (Gl)", "Logits graph (MMGD)"): 2.9,
        ("Feature graph distill (Gr)", "Feature distill (uniform)"): 1.7,
        ("Gl + Gr", "MMGD + Gr"): 3.7,
        ("MMGD + Gr", "Logits graph (MMGD)"): 9.2,
        ("Gl + Gr", "Logits graph (Gl)"): 10.0,
    }


def test_rows_of_all_recipes_share_a_group_whatever_graphs_those_without_any_name(make: Make) -> None:
    """A record of fusion has the preset's graphs, which say nothing about it."""
    trials = [make(row, 0, {"ucf101": 50.0 + place}) for place, row in enumerate(TABLE2.rows)]
    preset = {"graph.logits": "graph", "graph.representation": "graph", "graph.distance": "em", "graph.edges": "gain"}
    trials[0] = make(TABLE2.rows[0], 0, {"ucf101": 50.0}, settings=preset)
    (comparison,) = compare(TABLE2, trials)
    reached = [compared.cells[0].by_seed for compared in comparison.rows]
    assert reached == [{0: pytest.approx(50.0 + place)} for place in range(9)]
    apart = compare(TABLE2, [*trials, make(OURS, 1, {"ucf101": 90.0}, settings={"graph.imitation_weight": 0.3})])
    assert sorted(list(cell_of(comparison, OURS).by_seed) for comparison in apart) == [[0], [1]]


def test_ccv_is_judged_by_mean_average_precision(make: Make) -> None:
    alone = make(OURS, 0, {"ccv": 10.0}, metrics={"test/top1": 0.1, "test/map": 0.62})
    joined = make(OURS, 1, {"ucf101": 70.0, "ccv": 10.0})
    joined.metrics.update({"test/map/ccv": 0.64, "test/map/ucf101": 0.9})
    cells = [cell_of(one, OURS, "ccv").by_seed for one in compare(TABLE2, [alone, joined])]
    assert cells == [{0: pytest.approx(62.0), 1: pytest.approx(64.0)}]


def test_a_seed_s_value_is_the_mean_over_the_splits_at_hand_and_the_cell_says_which_lack(make: Make) -> None:
    trials = [make(OURS, 0, {"ucf101": 60.0 + split}, split) for split in (1, 2, 3)]
    trials += [make(OURS, 1, {"ucf101": 70.0 + split}, split) for split in (1, 3)]
    (comparison,) = compare(TABLE2, trials)
    cell = cell_of(comparison, OURS)
    assert cell.by_seed == {0: pytest.approx(62.0), 1: pytest.approx(72.0)}
    assert cell.splits == (2, 3)
    filled = fill(TABLE2, trials)
    section = sheet(filled).sections[0]
    assert section.grids[0].rows[8][2] == "67.0 [62.0, 72.0] (2; 2 of 3 splits)"
    assert [note for note in section.notes if "ucf101, split 3: " in note]
    (whole,) = compare(TABLE2, trials[:3])
    assert cell_of(whole, OURS).splits == (3, 3)
    assert "splits" not in sheet(fill(TABLE2, trials[:3])).sections[0].grids[0].rows[8][2]


def test_an_effect_is_paired_by_seed_and_split(make: Make) -> None:
    """Where the reference lacks split 3, an easy one, that split does not count for either."""
    trials = [make(OURS, 0, {"ucf101": value}, split) for split, value in ((1, 60.0), (2, 62.0), (3, 90.0))]
    trials += [make(MMGD_GR, 0, {"ucf101": value}, split) for split, value in ((1, 59.0), (2, 60.0))]
    (comparison,) = compare(TABLE2, trials)
    effect = next(effect for effect in cell_of(comparison, OURS).effects if effect.reference.label == MMGD_GR.label)
    assert effect.ours is not None
    assert effect.ours.mean == pytest.approx((1.0 + 2.0) / 2)


def test_splits_are_one_group_at_preset_paper_only_and_ccv_stands_beside_them(make: Make) -> None:
    trials = [make(OURS, 0, {"ucf101": 60.0}, split) for split in (1, 2)]
    trials += [make(OURS, 0, {"ccv": 50.0}, 1), make(OURS, 0, {"hmdb51": 30.0}, 2)]
    assert len(compare(TABLE2, trials)) == 1
    small = [trial.model_copy(update={"preset": "small"}) for trial in trials]
    assert len(compare(TABLE2, small)) == 2


def test_two_copies_of_one_split_never_meet(make: Make, make_trial_of_row: Make) -> None:
    trials = [make(OURS, seed, {"ucf101": 60.0}, split) for seed in (0, 1) for split in (1, 2)]
    other = {"ucf101": {"fingerprint": "another copy"}}
    settings = {**ON_UCF101, "data.split": 2}
    trials.append(make_trial_of_row(OURS, 2, {"ucf101": 10.0}, other, settings=settings))
    found = [list(cell_of(comparison, OURS).by_seed) for comparison in compare(TABLE2, trials)]
    assert sorted(found) == [[0, 1], [0, 1, 2]]
    for comparison in compare(TABLE2, trials):
        versions = {
            (trial.settings["data.split"], trial.data["downstream"]["fingerprint"])
            for trial in (comparison.group.records if comparison.group else ())
        }
        assert len(versions) == len({split for split, _ in versions})


def test_missing_videos_of_several_splits_are_of_one_copy(make: Make) -> None:
    trials = [make(OURS, 0, {"ucf101": 60.0}, split) for split in (1, 2, 3)]
    for trial, missing in zip(trials, (4, 7, 5), strict=True):
        for described in trial.data.values():
            described["missing"] = missing
    (comparison,) = compare(TABLE2, trials)
    assert comparison.group is not None
    assert comparison.group.missing_videos == 7


def test_sample_says_that_the_student_is_alexnet(samples: Path) -> None:
    notes = sheet(fill(TABLE2, read_trials(samples, "sample-graph"))).sections[0].notes
    assert notes[0] == "student AlexNet of channels 16-24-32-32-24, evaluated by protocol version 2"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"effects": [{"from": 1, "to": 3}]}, "paper/t, effects: row 3 is not among those that can be run; rows: 1 to 2"),
        ({"quoted": [1], "effects": [{"from": 1, "to": 2}]}, "paper/t, effects: row 1 is not among"),
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
