"""README, CONTRIBUTING and docs/ against the code: settings they name, links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trainables.presets import configure
from trainables.settings import flat, parse_assignment, setting_names, with_values

REPOSITORY = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *(f"docs/{path.name}" for path in (REPOSITORY / "docs").glob("*.md")),
]
GROUPS = "|".join(sorted({name.partition(".")[0] for name in setting_names() if "." in name}))


def read(document: str) -> str:
    return (REPOSITORY / document).read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_settings_that_a_document_names_exist(document: str) -> None:
    """A name in backticks or after --set that begins with a group of settings is a setting or a group of them."""
    named = set(re.findall(rf"(?:`|--set )((?:{GROUPS})\.(?!py`)[a-z0-9_.]+)", read(document)))
    assert {name for name in named if not any(f"{valid}.".startswith(f"{name}.") for valid in setting_names())} == set()


def test_the_release_s_setting_in_fidelity_is_valid_and_changes_every_value_it_names() -> None:
    blocks = "\n".join(re.findall(r"^    .*$", read("docs/fidelity.md"), re.MULTILINE))
    values = dict(map(parse_assignment, re.findall(r"--set (\S+=\S+)", blocks)))
    paper = configure("paper", {"data.pretraining": "ucf101"})
    assert len(values) > 5
    assert {name for name, value in values.items() if flat(paper)[name] == value} == set()
    with_values(paper, values)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", read(document)):
        path, _, anchor = target.partition("#")
        file = (REPOSITORY / document).parent / path if path else REPOSITORY / document
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}, target
