"""Which trials enter which cell, what is never mixed, and effects against numbers computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from scipy import stats

from harness.ledger import Ledger, Record
from reports.circumstances import is_comparable
from reports.comparison import Cell, Comparison, FilledTable, compare
from reports.comparison_sheet import comparison_sheet
from reports.groups import read_trials
from reports.power import Sensitivity
from reports.sheet import Sheet
from search_spaces.papers import paper_tables

Make = Callable[..., Record]
TABLE3 = paper_tables()["auxskd/table3"]
OVER_SEEDS = "Intervals and tests are over seeds only: which videos were told right is not at hand."


def cell_of(comparison: Comparison, label: str) -> Cell:
    return next(compared.cells[0] for compared in comparison.rows if compared.row.label == label)


def sheet_of(comparisons: list[Comparison]) -> Sheet:
    return comparison_sheet(FilledTable(TABLE3, comparisons))


def test_no_trials_leave_every_cell_missing() -> None:
    (comparison,) = compare(TABLE3, [])
    assert comparison.group is None
    assert all(compared.cells[0].estimate is None and compared.cells[0].asked == 1 for compared in comparison.rows)
    grid = sheet_of([comparison]).sections[0].grids[0]
    assert [line[-1] for line in grid.rows] == ["- (0/1)"] * 7


def test_only_complete_seeds_count_and_the_fullest_row_says_how_many_were_asked_for(make_trial: Make) -> None:
    trials = [make_trial(0.02, 0.02, seed, top1) for seed, top1 in enumerate([63.0, 64.0, 65.0])]
    trials += [make_trial(0.1, 0.1, 0, 61.0), make_trial(0.1, 0.1, 1, None)]
    trials += [make_trial(0.07, 0.07, 0, 60.0, outcome="pruned")]
    (comparison,) = compare(TABLE3, trials)
    cells = {line[0] + " / " + line[1]: line[-1] for line in sheet_of([comparison]).sections[0].grids[0].rows}
    assert cells["0.02 / 0.02"] == "64.0 [61.5, 66.5] (3)"
    assert cells["0.1 / 0.1"] == "61.0 (1/3)"
    assert cells["0.07 / 0.07"] == "- (0/3)"
    assert cells["0.05 / 0.05"] == "- (0/3)"


def test_complete_trial_without_a_finite_metric_is_missing(make_trial: Make) -> None:
    trials = [make_trial(0.02, 0.02, 0, None, outcome="complete"), make_trial(0.02, 0.02, 1, float("nan"))]
    (comparison,) = compare(TABLE3, trials)
    assert cell_of(comparison, "0.02 / 0.02").estimate is None


def test_effect_is_paired_by_seed(make_trial: Make) -> None:
    reference, other = {0: 60.0, 1: 64.0, 2: 59.0, 3: 70.0}, {0: 58.0, 1: 61.0, 2: 57.5, 4: 20.0}
    trials = [make_trial(0.02, 0.02, seed, top1) for seed, top1 in reference.items()]
    trials += [make_trial(0.1, 0.1, seed, top1) for seed, top1 in other.items()]
    (comparison,) = compare(TABLE3, trials)
    (effect,) = cell_of(comparison, "0.1 / 0.1").effects
    assert effect.ours is not None
    test = effect.judgement.test
    assert test is not None
    assert effect.published == pytest.approx(74.9 - 76.3)
    assert effect.ours.mean == pytest.approx((-2.0 - 3.0 - 1.5) / 3)
    assert test.p == pytest.approx(stats.ttest_rel([58.0, 61.0, 57.5], [60.0, 64.0, 59.0]).pvalue)
    assert effect.judgement.verdict == "agrees"


def test_one_seed_decides_nothing(make_trial: Make) -> None:
    (comparison,) = compare(TABLE3, [make_trial(0.02, 0.02, 0, 80.0), make_trial(0.1, 0.1, 0, 20.0)])
    line = sheet_of([comparison]).sections[0].grids[1].rows[3]
    assert line == ("0.1 / 0.1", "-1.4", "-60.0", "-", "one seed", "undecided", "-")


@pytest.mark.parametrize(
    "changes",
    [
        {"preset": "small"},
        {"downstream": {"fingerprint": "other"}},
        {"versions": {"protocol": "2"}},
        {"settings": {"finetune.epochs": 3}},
    ],
    ids=["preset", "data", "protocol", "settings"],
)
def test_what_is_not_comparable_is_never_mixed(make_trial: Make, changes: dict[str, object]) -> None:
    trials = [make_trial(0.02, 0.02, 0, 60.0), make_trial(0.02, 0.02, 1, 90.0, **changes)]
    comparisons = compare(TABLE3, trials)
    values = sorted(tuple(cell_of(comparison, "0.02 / 0.02").by_seed.values()) for comparison in comparisons)
    assert [pytest.approx(value) for value in values] == [(60.0,), (90.0,)]


def test_package_versions_command_and_order_make_no_group(make_trial: Make) -> None:
    trials = [
        make_trial(0.02, 0.02, 0, 60.0, versions={"protocol": "1", "torch": "2.13"}, command="a"),
        make_trial(0.1, 0.1, 0, 61.0, versions={"protocol": "1", "torch": "2.12"}, command="b", index=9),
    ]
    assert len(compare(TABLE3, trials)) == 1
    assert sheet_of(compare(TABLE3, trials)) == sheet_of(compare(TABLE3, trials[::-1]))


def test_trials_of_other_recipes_and_temperatures_are_left_out(make_trial: Make) -> None:
    trials = [make_trial(0.033, 0.02, 0, 90.0), make_trial(0.02, 0.02, 0, 90.0, settings={"recipe": "pretext"})]
    (comparison,) = compare(TABLE3, trials)
    assert comparison.group is None


def test_a_trial_in_two_sweeps_counts_once_and_the_complete_one_counts(make_trial: Make, tmp_path: Path) -> None:
    for sweep, top1 in (("a", None), ("b", 60.0), ("c", 60.0)):
        (tmp_path / sweep).mkdir()
        Ledger(tmp_path / sweep).append(make_trial(0.02, 0.02, 0, top1))
    (comparison,) = compare(TABLE3, read_trials(tmp_path))
    cell = cell_of(comparison, "0.02 / 0.02")
    assert cell.by_seed == {0: pytest.approx(60.0)}
    assert cell.asked == 1


def test_reading_a_running_sweep_changes_nothing_and_takes_the_last_record(make_trial: Make, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    ledger = Ledger(tmp_path / "a")
    ledger.append(make_trial(0.02, 0.02, 0, 10.0))
    ledger.append(make_trial(0.02, 0.02, 0, 60.0))
    with ledger.path.open("a", encoding="utf-8") as file:
        file.write('{"trial": "being writ')
    before = ledger.path.read_bytes()
    (trial,) = read_trials(tmp_path)
    assert trial.metrics["test/top1"] == pytest.approx(0.6)
    assert ledger.path.read_bytes() == before


def test_section_says_which_data_in_which_role_and_what_is_missing(make_trial: Make) -> None:
    trial = make_trial(0.02, 0.02, 0, 60.0, downstream={"missing": 12, "skipped": {"a.avi": "empty", "b.avi": "empty"}})
    section = sheet_of(compare(TABLE3, [trial])).sections[0]
    assert section.heading.startswith(
        "Preset paper, like-for-like protocol, on ucf101 and kinetics100 with 12 listed videos missing: not comp"
    )
    assert any(
        note.startswith("downstream on ucf101: 101 classes, videos train 7600 / validation 1900 / test 3700, partial copy")
        and "listed videos missing: 12, unreadable videos skipped: 2" in note
        for note in section.notes
    )


def test_one_copy_in_two_roles_is_missing_its_videos_once(make_trial: Make) -> None:
    trial = make_trial(0.02, 0.02, 0, 60.0, downstream={"missing": 12})
    copy = trial.data["downstream"]
    (comparison,) = compare(TABLE3, [trial.model_copy(update={"data": {"pretraining": copy, "downstream": copy}})])
    assert comparison.group is not None
    assert comparison.group.missing_videos == 12


@pytest.mark.parametrize(
    ("changes", "comparable"),
    [
        ({}, True),
        ({"preset": "demo"}, False),
        ({"settings": {"backbone.depth": 10}}, False),
        ({"settings": {"data.pretraining": "ucf101"}}, False),
        ({"downstream": {"missing": 3}}, False),
    ],
)
def test_only_the_paper_setting_on_whole_data_is_comparable(
    make_trial: Make, changes: dict[str, object], comparable: bool
) -> None:
    (comparison,) = compare(TABLE3, [make_trial(0.02, 0.02, 0, 60.0, **changes)])
    assert comparison.group is not None
    assert is_comparable(TABLE3, comparison.group) is comparable
    heading = sheet_of([comparison]).sections[0].heading
    assert ("not comparable to the paper's numbers" in heading) is not comparable


def test_a_table_says_what_is_smaller_than_the_paper_s_and_what_cannot_be_seen(make_trial: Make) -> None:
    """Six seeds: one effect near nil and one far beyond the paper's -1.4; their common spread is 0.33."""
    nil, large = [0.1, -0.1, 0.1, -0.1, 0.1, -0.1], [-9.0, -9.5, -10.0, -9.0, -9.5, -10.0]
    trials = [make_trial(0.02, 0.02, seed, 70.0) for seed in range(6)]
    trials += [make_trial(0.05, 0.05, seed, 70.0 + difference) for seed, difference in enumerate(nil)]
    trials += [make_trial(0.1, 0.1, seed, 70.0 + difference) for seed, difference in enumerate(large)]
    grid = sheet_of(compare(TABLE3, trials)).sections[0].grids[1]
    by_label = {row[0]: row for row in grid.rows}
    assert by_label["0.05 / 0.05"][4:6] == ("t(5) = 0.0, p = 1.000; smaller: p < 0.001", "smaller")
    assert by_label["0.1 / 0.1"][5] == "agrees"
    assert by_label["0.05 / 0.05"][3] == "0.50 [0.12, 0.88]"
    spread = ((5 * 0.012 + 5 * 0.2) / 10) ** 0.5
    detectable = Sensitivity(3700, 6, spread).detectable
    assert (
        grid.note
        == f"With 3700 test videos and 6 seeds differences under {detectable:.1f} points cannot be seen. " + OVER_SEEDS
    )
