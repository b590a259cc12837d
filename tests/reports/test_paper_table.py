"""Declared tables against the numbers printed in the paper (its Table 3), and the matching of settings to rows."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from reports.paper_table import PUBLISHED_DIRECTORY
from reports.tables import TABLES

TABLE3 = TABLES["auxskd/table3"]


def test_table3_is_what_the_paper_prints() -> None:
    teacher = [0.01, 0.02, 0.05, 0.07, 0.1, 0.01, 0.02]
    student = [0.01, 0.02, 0.05, 0.07, 0.1, 0.1, 0.1]
    ucf101 = [75.0, 76.3, 75.3, 74.9, 74.9, 75.5, 75.0]
    assert [row.settings["auxskd.teacher_temperature"] for row in TABLE3.rows] == teacher
    assert [row.settings["auxskd.student_temperature"] for row in TABLE3.rows] == student
    assert [row.published for row in TABLE3.rows] == ucf101
    assert all(row.settings["recipe"] == "auxskd_pretext" for row in TABLE3.rows)
    assert TABLE3.reference.label == "0.02 / 0.02"


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
    settings = {"recipe": "auxskd_pretext", "auxskd.teacher_temperature": 0.02, "auxskd.student_temperature": 0.02}
    assert TABLE3.reference.holds({**settings, **changes}) is holds


def test_row_does_not_hold_settings_that_lack_its_names() -> None:
    assert not TABLE3.reference.holds({"recipe": "auxskd_pretext"})


@pytest.mark.parametrize("path", sorted(PUBLISHED_DIRECTORY.glob("*.yaml")), ids=lambda path: path.stem)
def test_published_tables_have_a_value_for_every_column(path: Path) -> None:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, table in document["tables"].items():
        assert table["title"], name
        assert {len(row) for row in table["rows"]} == {len(table["columns"])}, name
