"""Tables whose rows have different data sets: what is never mixed, whatever the trials; joined sets, protocols, checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.ledger import Record
from reports.circumstances import is_comparable
from reports.comparison import Comparison, FilledTable, compare, fill
from reports.comparison_sheet import comparison_sheet
from reports.groups import Group, comparable_groups
from search_spaces.papers import PublishedRow, paper_tables
from trainables.settings import FOLLOW_PRETRAINING

Make = Callable[..., Record]
TABLES = paper_tables()
TABLE1, TABLE2, TABLE4 = (TABLES[f"auxskd/table{number}"] for number in (1, 2, 4))
FIGURE4 = TABLES["auxskd/figure4-left"]
ON_UCF101, ON_K100 = TABLE2.rows[0], TABLE2.rows[2]
STAND_IN = {"dataset": "embedded", "fingerprint": "generated"}
PARTIAL = {"fingerprint": "partial", "missing": 7}


def reached(comparison: Comparison) -> dict[tuple[str, str], list[float]]:
    """Percentages by label and measure, where there are any."""
    return {
        (compared.row.label, measure): [round(value, 3) for value in cell.by_seed.values()]
        for compared in comparison.rows
        for measure, cell in zip(("ucf101", "hmdb51"), compared.cells, strict=False)
        if cell.by_seed
    }


def test_rows_with_different_data_share_a_table(make_trial_of_row: Make) -> None:
    trials = [
        make_trial_of_row(ON_UCF101, 0, {"ucf101": 50.0}),
        make_trial_of_row(ON_K100, 0, {"ucf101": 51.0}),
        make_trial_of_row(ON_K100, 0, {"hmdb51": 31.0}),
    ]
    (comparison,) = compare(TABLE2, trials)
    assert reached(comparison) == {
        (ON_UCF101.label, "ucf101"): [50.0],
        (ON_K100.label, "ucf101"): [51.0],
        (ON_K100.label, "hmdb51"): [31.0],
    }
    assert comparison.group is not None
    assert is_comparable(TABLE2, comparison.group)


def test_joined_downstream_sets_fill_a_cell_each_beside_single_ones(make_trial_of_row: Make) -> None:
    trials = [
        make_trial_of_row(ON_K100, 0, {"ucf101": 51.0, "hmdb51": 31.0}),
        make_trial_of_row(ON_K100, 1, {"ucf101": 53.0}),
    ]
    (comparison,) = compare(TABLE2, trials)
    assert reached(comparison) == {(ON_K100.label, "ucf101"): [51.0, 53.0], (ON_K100.label, "hmdb51"): [31.0]}


@pytest.mark.parametrize("other", [STAND_IN, PARTIAL], ids=["stand-in", "partial copy"])
def test_two_versions_of_a_set_never_meet_and_each_has_the_rows_that_do_not_need_it(
    make_trial_of_row: Make, other: dict[str, Any]
) -> None:
    trials = [
        make_trial_of_row(ON_K100, 0, {"ucf101": 51.0}),
        make_trial_of_row(ON_K100, 0, {"ucf101": 41.0}, versions_of={"kinetics100": other}),
        make_trial_of_row(ON_UCF101, 0, {"ucf101": 50.0}),
    ]
    found = [reached(comparison) for comparison in compare(TABLE2, trials)]
    own = {(ON_UCF101.label, "ucf101"): [50.0]}
    assert sorted(found, key=str) == [
        {**own, (ON_K100.label, "ucf101"): [41.0]},
        {**own, (ON_K100.label, "ucf101"): [51.0]},
    ]


def test_real_data_stay_together_and_so_do_stand_ins(make_trial_of_row: Make) -> None:
    kinetics, other = {"kinetics100": STAND_IN}, {"dataset": "other"}
    trials = [
        make_trial_of_row(ON_K100, 0, {"hmdb51": 31.0}, versions_of=kinetics),
        make_trial_of_row(ON_K100, 0, {"ucf101": 51.0}, versions_of=kinetics),
        make_trial_of_row(ON_K100, 0, {"hmdb51": 21.0}, versions_of={**kinetics, "hmdb51": other}),
        make_trial_of_row(ON_K100, 0, {"ucf101": 41.0}, versions_of={**kinetics, "ucf101": STAND_IN}),
    ]
    label = ON_K100.label
    found = sorted((reached(comparison) for comparison in compare(TABLE2, trials)), key=str)
    assert found == [
        {(label, "ucf101"): [41.0], (label, "hmdb51"): [21.0]},
        {(label, "ucf101"): [51.0], (label, "hmdb51"): [31.0]},
    ]


def test_heading_and_notes_name_what_stands_in_for_what(make_trial_of_row: Make) -> None:
    trial = make_trial_of_row(ON_K100, 0, {"ucf101": 41.0, "hmdb51": 30.0}, versions_of={"kinetics100": STAND_IN})
    filled = fill(TABLE2, [trial])
    section = comparison_sheet(filled).sections[0]
    assert section.heading == (
        "Preset paper, like-for-like protocol, on hmdb51, ucf101 and embedded clips in place of kinetics100: "
        "not comparable to the paper's numbers in absolute terms"
    )
    assert any(note.startswith("pretraining on kinetics100 (in its place: embedded clips): ") for note in section.notes)
    assert any(note.startswith("downstream on ucf101: ") for note in section.notes)


def test_rows_of_other_pretraining_data_have_the_preset_s_clips_for_these(make_trial_of_row: Make) -> None:
    """Ten clips of a video on UCF101 and one on Kinetics are one group at preset paper; another number that was set is not."""
    ten, one, five = (dict.fromkeys(FOLLOW_PRETRAINING, clips) for clips in (10, 1, 5))
    trials = [
        make_trial_of_row(ON_UCF101, 0, {"ucf101": 50.0}, settings=ten, departures={}),
        make_trial_of_row(ON_K100, 0, {"ucf101": 51.0}, settings=one, departures={}),
    ]
    assert [len(reached(comparison)) for comparison in compare(TABLE2, trials)] == [2]
    trials[1] = make_trial_of_row(ON_K100, 0, {"ucf101": 51.0}, settings=five, departures=five)
    assert [len(reached(comparison)) for comparison in compare(TABLE2, trials)] == [1, 1]


def test_quoted_rows_are_never_ours(make_trial_of_row: Make) -> None:
    row5 = TABLE1.rows[4]
    settings = {
        "pretext.task": "video_pace", "recipe": "pretext", "backbone.family": "r3d", "data.pretraining": "kinetics400",
    }  # fmt: skip
    trial = make_trial_of_row(row5, 0, {"ucf101": 63.0}, settings=settings)
    (comparison,) = compare(TABLE1, [trial])
    assert comparison.group is None
    line = comparison_sheet(FilledTable(TABLE1, [comparison])).sections[0].grids[0].rows[4]
    assert line[-4:] == ("63.7", "quoted", "27.9", "quoted")


def test_methods_with_their_own_recipes_share_a_table_under_published_only(make_trial_of_row: Make) -> None:
    vcop, pace = TABLE1.rows[15], TABLE1.rows[17]

    def trials(protocol: str) -> list[Record]:
        own = [(vcop, {"finetune.epochs": 150}), (pace, {"finetune.epochs": 20})]
        return [
            make_trial_of_row(row, 0, {"ucf101": 50.0}, preset="demo", settings={"protocol": protocol, **recipe})
            for row, recipe in own
        ]

    assert [len(reached(comparison)) for comparison in compare(TABLE1, trials("published"))] == [2]
    assert [len(reached(comparison)) for comparison in compare(TABLE1, trials("like_for_like"))] == [1, 1]
    both = compare(TABLE1, [*trials("published"), *trials("like_for_like")])
    assert sorted(len(reached(comparison)) for comparison in both) == [1, 1, 2]
    heading = comparison_sheet(FilledTable(TABLE1, compare(TABLE1, trials("published")))).sections[0].heading
    assert "each method's published protocol" in heading


def test_what_a_user_set_otherwise_separates_published_recipes(make_trial_of_row: Make) -> None:
    vcop, pace = TABLE1.rows[15], TABLE1.rows[17]
    trials = [
        make_trial_of_row(vcop, 0, {"ucf101": 50.0}, settings={"protocol": "published"}, departures={}),
        make_trial_of_row(pace, 0, {"ucf101": 50.0}, settings={"protocol": "published"}, departures={"video.crop": 64}),
    ]
    assert len(compare(TABLE1, trials)) == 2


@pytest.mark.parametrize(("preset", "epochs", "groups"), [("paper", 18, 1), ("paper", 19, 2), ("demo", 18, 2)])
def test_epochs_that_the_paper_prints_for_a_row_are_its_own_at_preset_paper_only(
    make_trial_of_row: Make, preset: str, epochs: int, groups: int
) -> None:
    vcop, pace = TABLE1.rows[15], TABLE1.rows[17]
    trials = [
        make_trial_of_row(vcop, 0, {"ucf101": 50.0}, preset=preset, settings={"pretext.epochs": 200}),
        make_trial_of_row(pace, 0, {"ucf101": 50.0}, preset=preset, settings={"pretext.epochs": epochs}),
    ]
    assert len(compare(TABLE1, trials)) == groups


def test_departures_are_named_and_make_numbers_incomparable(make_trial_of_row: Make) -> None:
    trial = make_trial_of_row(ON_K100, 0, {"ucf101": 50.0}, settings={"finetune.epochs": 1}, departures={"finetune.epochs": 1})
    (comparison,) = compare(TABLE2, [trial])
    assert comparison.group is not None
    assert not is_comparable(TABLE2, comparison.group)
    notes = comparison_sheet(FilledTable(TABLE2, [comparison])).sections[0].notes
    assert "differs from preset paper in finetune.epochs = 1" in notes


def test_last_checkpoint_may_be_named_or_not_and_earlier_ones_are_no_trials_of_other_tables(make_trial_of_row: Make) -> None:
    last_row, earlier_row = FIGURE4.rows[7], FIGURE4.rows[5]
    on_k100 = {"data.pretraining": "kinetics100", "backbone.family": "r2plus1d"}
    trials = [
        make_trial_of_row(last_row, 0, {"ucf101": 50.0}, settings=on_k100),
        make_trial_of_row(last_row, 1, {"ucf101": 52.0}, settings={**on_k100, "pretext.checkpoint": None}),
        make_trial_of_row(earlier_row, 0, {"ucf101": 40.0}, settings=on_k100),
        make_trial_of_row(TABLE2.rows[3], 2, {"ucf101": 54.0}, settings={"pretext.checkpoints": 1, "pretext.checkpoint": None}),
    ]
    (figure,) = compare(FIGURE4, trials)
    assert [len(values) for values in reached(figure).values()] == [1, 2]
    (table,) = compare(TABLE2, trials)
    assert reached(table) == {(TABLE2.rows[3].label, "ucf101"): [50.0, 52.0, 54.0]}


def test_groups_of_few_rows_are_left_out_beside_fuller_ones_and_counted(make_trial_of_row: Make) -> None:
    lone = make_trial_of_row(TABLE4.rows[3], 0, {"ucf101": 60.0}, settings={"finetune.epochs": 3})
    assert fill(TABLE4, [lone]).narrow == 0
    full = [make_trial_of_row(row, 0, {"ucf101": 50.0}) for row in TABLE4.rows[:2]]
    filled = fill(TABLE4, [lone, *full])
    assert (filled.narrow, len(filled.comparisons)) == (1, 1)
    assert "Left out: 1 group with numbers in few of the rows" in comparison_sheet(filled).subtitle


def test_effects_are_measured_for_each_data_set_and_row_pair(make_trial_of_row: Make) -> None:
    without, with_auxskd = TABLE2.rows[2], TABLE2.rows[3]
    trials = [make_trial_of_row(without, seed, {"ucf101": 50.0 + seed, "hmdb51": 30.0}) for seed in range(3)]
    trials += [make_trial_of_row(with_auxskd, seed, {"ucf101": 53.0 + seed, "hmdb51": 29.0 - seed}) for seed in range(3)]
    (comparison,) = compare(TABLE2, trials)
    ucf101, hmdb51 = comparison.rows[3].cells
    (on_ucf101,), (on_hmdb51,) = ucf101.effects, hmdb51.effects
    assert on_ucf101.published == pytest.approx(76.3 - 74.0)
    assert on_hmdb51.published == pytest.approx(39.6 - 37.3)
    assert on_ucf101.ours is not None
    assert on_hmdb51.ours is not None
    assert on_ucf101.ours.mean == pytest.approx(3.0)
    assert on_hmdb51.ours.mean == pytest.approx(-2.0)
    assert [cell.effects for cell in comparison.rows[2].cells] == [(), ()]


def test_without_published_numbers_there_is_no_verdict(make_trial_of_row: Make) -> None:
    trials = [make_trial_of_row(row, seed, {"ucf101": 50.0 + seed}) for row in FIGURE4.rows[:2] for seed in range(2)]
    (comparison,) = compare(FIGURE4, trials)
    (line, *_) = comparison_sheet(FilledTable(FIGURE4, [comparison])).sections[0].grids[1].rows
    assert (line[1], line[-1]) == ("-", "-")


VERSIONS = st.sampled_from([{}, STAND_IN, PARTIAL])
TRIALS = st.lists(
    st.fixed_dictionaries(
        {
            "row": st.sampled_from(TABLE2.rows),
            "seed": st.integers(0, 1),
            "sets": st.sampled_from([["ucf101"], ["hmdb51"], ["ucf101", "hmdb51"]]),
            "versions_of": st.fixed_dictionaries(dict.fromkeys(("ucf101", "hmdb51", "kinetics100"), VERSIONS)),
            "preset": st.sampled_from(["demo", "paper"]),
            "protocol": st.sampled_from(["like_for_like", "published"]),
            "version": st.sampled_from(["1", "2"]),
            "crop": st.sampled_from([24, 112]),
        }
    ),
    max_size=10,
)


@given(drawn=TRIALS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_trials_nothing_is_mixed_and_none_is_lost(drawn: list[dict[str, Any]], make_trial_of_row: Make) -> None:
    trials = [_trial(number, draw, make_trial_of_row) for number, draw in enumerate(drawn)]
    groups = comparable_groups(trials, TABLE2.varied)
    assert {record.trial for group in groups for record in group.records} == {record.trial for record in trials}
    for group in groups:
        assert {len(values) for values in _what_must_agree(group)} == {1}
    reversed_groups = comparable_groups(trials[::-1], TABLE2.varied)
    assert reversed_groups == groups


def _trial(number: int, draw: dict[str, Any], make: Make) -> Record:
    row: PublishedRow = draw["row"]
    top1 = dict.fromkeys(draw["sets"], 50.0)
    chosen = {"protocol": draw["protocol"], "video.crop": draw["crop"]}
    return make(
        row, draw["seed"], top1, versions_of=draw["versions_of"], settings=chosen, departures={"video.crop": draw["crop"]},
        preset=draw["preset"], versions={"protocol": draw["version"]}, trial=f"trial {number}",
    )  # fmt: skip


def _what_must_agree(group: Group) -> list[set[Any]]:
    records = group.records
    by_name: dict[str, set[Any]] = {}
    for record in records:
        for role, entry in record.data.items():
            name = role.partition("/")[2] or record.settings[f"data.{role}"]
            by_name.setdefault(name, set()).add((entry["dataset"], entry["fingerprint"]))
    settings_of = [{record.settings[name] for record in records} for name in ("protocol", "video.crop")]
    return [
        *by_name.values(),
        *settings_of,
        {record.preset for record in records},
        {record.versions["protocol"] for record in records},
    ]


def test_shares_of_the_pretraining_set_stand_in_one_figure(make_trial_of_row: Make) -> None:
    """Each share has videos of its own, and so another fingerprint, under the same name as the whole set downstream."""
    figure = TABLES["graph/figure4b"]
    trials = []
    for number, row in enumerate(figure.rows):
        trial = make_trial_of_row(row, 0, {"ucf101": 50.0 + number})
        share = row.parameters["data.pretraining_share"]
        data = {**trial.data, "pretraining": {**trial.data["downstream"], "fingerprint": f"of {share}"}}
        if share == 1:
            data["pretraining"] = trial.data["downstream"]
        trials.append(trial.model_copy(update={"data": data}))
    (comparison,) = compare(figure, trials)
    found = [list(cell.by_seed.values()) for compared in comparison.rows for cell in compared.cells]
    assert found == [[50.0], [51.0], [52.0], [53.0]]
