"""docs/ledger.md against the record schema: every field is described, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from harness.ledger import Record, Seconds

DOCUMENT = Path(__file__).parents[2] / "docs" / "ledger.md"


def test_document_names_exactly_the_fields_of_a_record_and_of_its_seconds() -> None:
    described = re.findall(r"^\| `([a-z_.<>]+)` \|", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    expected = [*Record.model_fields, *(f"seconds.<stage>.{name}" for name in Seconds.model_fields)]
    assert sorted(described) == sorted(expected)


def test_example_record_in_the_document_is_valid() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert Record.model_validate_json(example).outcome == "complete"
