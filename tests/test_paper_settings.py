"""docs/paper-settings.md: every setting that a row of the papers' tables reads is on it, with the paper's words or why there
are none, and it is what its script writes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from search_spaces.papers import paper_tables

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("paper_settings", ROOT / "docs" / "paper_settings.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_setting_that_a_row_reads_has_words_and_all_words_are_of_such_settings(script: ModuleType) -> None:
    """docs/paper_settings.yaml has an entry for each, and none that is of no use."""
    for paper, entries in script.read_words().items():
        read = {name for rows in script.read_in(paper).values() for row in rows for name in row.values}
        assert len(read) > 50
        assert sorted(name for name in read if script.entry_for(name, entries) is None) == []
        assert sorted(entries.keys() - {script.entry_for(name, entries) for name in read}) == []


def test_every_row_that_can_be_run_is_on_the_page(script: ModuleType) -> None:
    sections = dict(section.split("\n", 1) for section in script.page().replace("\n## ", "\n### \n").split("\n### ")[1:])
    sections.pop("")
    assert list(sections) == list(paper_tables())
    for name, table in paper_tables().items():
        labels = [line.split("| ")[1].strip() for line in sections[name].splitlines() if line.startswith("| ")][1:]
        assert labels == [row.label for row in table.rows if not row.quoted]


def test_values_are_those_with_which_rows_run(script: ModuleType) -> None:
    """A few that the papers print."""
    lines = script.page().splitlines()
    assert any(line.startswith("| `auxskd.memory_bank` | 16384 | auxskd | ") for line in lines)
    (row,) = (line for line in lines if line.startswith("| R(2+1)D / UCF101 / yes |"))
    assert "`auxskd.clips_per_video` 10" in row
    assert "`pretext.clips_per_video` 10" in row


def test_words_are_either_the_paper_s_or_say_why_there_are_none(script: ModuleType) -> None:
    for words in ({"says": "a"}, {"says": "a", "where": "b", "silent": "c"}, {}, {"where": "a", "silent": "b"}):
        with pytest.raises(ValueError, match="either what the paper says and where"):
            script.Words(**words)


def test_the_page_is_up_to_date(script: ModuleType) -> None:
    """After a change of settings: `python docs/paper_settings.py`."""
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), (
        "run python docs/paper_settings.py, and read the difference"
    )
