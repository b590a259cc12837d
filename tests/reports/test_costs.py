"""The table of costs: units, spread over seeds and ratios against numbers by hand, and every written format."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.ledger import Record
from reports.cost_sheet import cost_sheet
from reports.costs import QUANTITIES, costs_of
from reports.groups import read_trials
from reports.writers import comma_separated, html, latex, markdown
from search_spaces.papers import paper_tables

Make = Callable[..., Record]
TABLE = paper_tables()["graph/compression"]
ROW = TABLE.rows[0]
SORTING = {"compression/sorting_parameters": 2e7, "compression/sorting_flops": 9e9, "compression/sorting_peak_memory": 2.0**22}
STUDENT = {
    "compression/student_parameters": 5e6,
    "compression/student_flops": 1.5e9,
    "compression/student_peak_memory": 2.0**21,
}


@pytest.fixture
def make(make_trial_of_row: Make) -> Make:
    def trial(seed: int, latency: float, device: str = "a device", **changes: Any) -> Record:
        metrics = {**SORTING, **STUDENT, "compression/student_latency": latency, "compression/sorting_latency": 4 * latency}
        versions = {"protocol": "1", "device": device} if device else {"protocol": "1"}
        values = {"metrics": metrics, "versions": versions, "trial": f"{seed} {device}", **changes}
        return make_trial_of_row(ROW, seed, {"ucf101": 50.0}, **values)

    return trial


def test_numbers_have_the_unit_of_their_heading_and_the_range_over_seeds(make: Make) -> None:
    (costs,) = costs_of(TABLE, [make(0, 0.002), make(1, 0.003)]).costs
    assert costs.device == "a device"
    sorting = [costs.spreads["sorting", quantity.name] for quantity in QUANTITIES]
    assert [spread.mean for spread in sorting] == [pytest.approx(20), pytest.approx(9), pytest.approx(10), pytest.approx(4)]
    latency = costs.spreads["student", "latency"]
    assert (latency.low, latency.high, latency.n) == (pytest.approx(2), pytest.approx(3), 2)
    assert ("tracking", "flops") not in costs.spreads


def test_a_sheet_has_the_costs_and_the_ratios_to_the_student(make: Make) -> None:
    (section,) = cost_sheet(costs_of(TABLE, [make(0, 0.002), make(1, 0.003)])).sections
    costs, ratios = section.grids
    assert section.heading.endswith("measured on a device (2 seeds)")
    assert costs.rows[0] == ("Sorting teacher", "20.0", "9.00", "10.0 [8.00, 12.0]", "4.00")
    assert costs.rows[2] == ("Tracking teacher", "-", "-", "-", "-")
    assert costs.rows[4] == ("Student", "5.00", "1.50", "2.50 [2.00, 3.00]", "2.00")
    assert ratios.caption == "Times those of the student"
    assert [row[0] for row in ratios.rows] == [
        "Sorting teacher", "Ego-motion teacher", "Tracking teacher", "Prediction teacher",
    ]  # fmt: skip
    assert ratios.rows[0][1:] == ("4.00", "6.00", "4.00", "2.00")


def test_devices_and_groups_are_never_mixed_and_failed_seeds_not_counted(make: Make) -> None:
    trials = [make(0, 0.002), make(0, 0.02, "another"), make(1, 0.9, outcome="failed", reason="stopped")]
    trials.append(make(2, 0.5, settings={"video.crop": 224}, trial="larger"))
    found = costs_of(TABLE, trials).costs
    by_device = sorted((costs.device, costs.spreads["student", "latency"].mean, costs.asked) for costs in found)
    assert by_device == [
        ("a device", pytest.approx(2), 2),
        ("a device", pytest.approx(500), 1),
        ("another", pytest.approx(20), 1),
    ]


def test_a_device_that_is_not_recorded_is_left_out(make: Make) -> None:
    (section,) = cost_sheet(costs_of(TABLE, [make(0, 0.002, "")])).sections
    assert "measured on" not in section.heading


def test_trials_that_measured_accuracies_or_have_fewer_teachers_do_not_count(make: Make) -> None:
    trials = [make(0, 0.002, settings={"evaluation.measures": ["finetune"]})]
    trials.append(make(1, 0.002, settings={"teachers.tasks": "sorting+tracking"}))
    (costs,) = costs_of(TABLE, trials).costs
    assert costs.group is None


def test_no_trials_leave_every_cell_missing() -> None:
    (section,) = cost_sheet(costs_of(TABLE, [])).sections
    assert section.heading == "No trials recorded"
    assert {cell for grid in section.grids for row in grid.rows for cell in row[1:]} == {"-"}


def test_every_format_has_the_numbers(samples: Path) -> None:
    sheets = [cost_sheet(costs_of(TABLE, read_trials(samples, "sample-graph")))]
    for text in (markdown(sheets), html(sheets), latex(sheets)):
        assert all(heading in text for heading in TABLE.networks.values())
        assert "0.0610" in text
    lines = list(csv.DictReader(io.StringIO(comma_separated(sheets))))
    assert len(lines) == len(TABLE.networks) * len(QUANTITIES)
    (latency,) = [line for line in lines if (line["row"], line["measure"]) == ("Student", "latency of a clip in ms")]
    assert (latency["mean"], latency["low"], latency["high"]) == ("0.9450", "0.9000", "0.9900")
    assert {None} & {key for line in lines for key in line} == set()
    assert all(None not in line.values() for line in lines)
