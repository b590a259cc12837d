"""Tables of the graph paper filled: effects of pairs of rows, mAP, means over splits."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.ledger import Record
from reports.comparison import Cell, Comparison, compare, fill
from reports.comparison_sheet import comparison_sheet
from reports.groups import read_trials
from reports.videos import Told
from search_spaces.papers import PublishedRow, paper_tables

Make = Callable[..., Record]
TABLE2 = paper_tables()["graph/table2"]
MMGD_GR, OURS = TABLE2.rows[7], TABLE2.rows[8]
ON_UCF101 = {"data.pretraining": "ucf101", "data.pretraining_share": 1.0, "graph.imitation_weight": 0.6}


@pytest.fixture
def make(make_trial_of_row: Make) -> Make:
    """A trial of a row, pretrained on UCF101; `split` has a copy of its own, as real lists do."""

    def trial(row: PublishedRow, seed: int, top1: dict[str, float], split: int = 1, **changes: Any) -> Record:
        versions = {name: {"fingerprint": f"{name} {split}"} for name in ("ucf101", *top1)}
        settings = {**ON_UCF101, "data.split": split, **changes.pop("settings", {})}
        name = f"{row.label} {seed} {split} {sorted(top1)} {changes}"
        return make_trial_of_row(row, seed, top1, versions, settings=settings, **{"trial": name, **changes})

    return trial


def cell_of(comparison: Comparison, row: PublishedRow, measure: str = "ucf101") -> Cell:
    column = [one.column for one in TABLE2.measures].index(measure)
    return next(compared.cells[column] for compared in comparison.rows if compared.row.label == row.label)


def test_rows_of_all_recipes_share_a_group_whatever_graphs_those_without_any_name(make: Make) -> None:
    """A record of fusion has the preset's graphs, which say nothing about it."""
    trials = [make(row, 0, {"ucf101": 50.0 + number}) for number, row in enumerate(TABLE2.rows)]
    preset = {
        "graph.logits": "graph",
        "graph.representation": "graph",
        "graph.distance": "em",
        "graph.sample_cost": 0.2,
        "graph.edges": "gain",
    }
    trials[0] = make(TABLE2.rows[0], 0, {"ucf101": 50.0}, settings=preset)
    (comparison,) = compare(TABLE2, trials)
    reached = [compared.cells[0].by_seed for compared in comparison.rows]
    assert reached == [{0: pytest.approx(50.0 + number)} for number in range(14)]
    apart = compare(TABLE2, [*trials, make(OURS, 1, {"ucf101": 90.0}, settings={"graph.imitation_weight": 0.3})])
    assert sorted(list(cell_of(comparison, OURS).by_seed) for comparison in apart) == [[0], [1]]


def test_other_readings_of_a_row_have_numbers_but_change_no_verdict(make: Make) -> None:
    """Whether they were run or not, the effects and their corrected tests are the same."""
    rows = [(row, number) for number, row in enumerate(TABLE2.rows)]
    trials = [make(row, seed, {"ucf101": 50.0 + number + seed % 2}) for row, number in rows for seed in range(3)]
    alone = [trial for trial, (row, _) in zip(trials, [one for one in rows for _ in range(3)], strict=True) if not row.reading]
    (with_readings,), (without,) = compare(TABLE2, trials), compare(TABLE2, alone)
    for one, other in zip(with_readings.rows, without.rows, strict=True):
        assert one.cells[0].effects == other.cells[0].effects
        assert bool(other.cells[0].by_seed) != one.row.reading
        assert one.cells[0].by_seed and (not one.row.reading or not one.cells[0].effects)
    assert with_readings.sensitivities == without.sensitivities


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
    section = comparison_sheet(filled).sections[0]
    assert section.grids[0].rows[8][2] == "67.0 [62.0 to 72.0] (2; 2 of 3 splits)"
    assert [note for note in section.notes if "ucf101, split 3: " in note]
    (whole,) = compare(TABLE2, trials[:3])
    assert cell_of(whole, OURS).splits == (3, 3)
    assert "splits" not in comparison_sheet(fill(TABLE2, trials[:3])).sections[0].grids[0].rows[8][2]


def test_an_effect_is_paired_by_seed_and_split(make: Make) -> None:
    """Where the reference lacks split 3, an easy one, that split does not count for either."""
    trials = [make(OURS, 0, {"ucf101": value}, split) for split, value in ((1, 60.0), (2, 62.0), (3, 90.0))]
    trials += [make(MMGD_GR, 0, {"ucf101": value}, split) for split, value in ((1, 59.0), (2, 60.0))]
    (comparison,) = compare(TABLE2, trials)
    effect = next(effect for effect in cell_of(comparison, OURS).effects if effect.reference.label == MMGD_GR.label)
    assert effect.ours is not None
    assert effect.ours.mean == pytest.approx((1.0 + 2.0) / 2)


def test_videos_of_all_splits_count_where_both_rows_have_them(make: Make) -> None:
    rows, ids = (OURS, MMGD_GR), itertools.count()
    trials = [make(row, seed, {"ucf101": 60.0}, split) for row in rows for seed in (0, 1) for split in (1, 2)]
    said = {trial.trial: np.random.default_rng(next(ids)).random(30) < 0.5 for trial in trials}

    def told(record: Record, metric: str) -> Told:
        assert metric == "test/top1"
        split = record.settings["data.split"]
        return Told(tuple(f"{split} {number}" for number in range(30)), said[record.trial].astype(float))

    for known, videos in ((trials, 60), (trials[1:], None)):
        (comparison,) = compare(TABLE2, known, told)
        effect = next(effect for effect in cell_of(comparison, OURS).effects if effect.reference.label == MMGD_GR.label)
        assert (effect.videos.videos if effect.videos else None) == videos


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
    notes = comparison_sheet(fill(TABLE2, read_trials(samples, "sample-graph"))).sections[0].notes
    assert notes[0] == "student AlexNet of channels 16-24-32-32-24, evaluated by protocol version 2"
