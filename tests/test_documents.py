"""README, CONTRIBUTING and docs/ against the code: settings they name, the table of presets, links, the test command."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from trainables.presets import GRAPH, PRESETS, configure, preset
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


def test_guide_s_table_of_presets_has_every_difference_and_its_values() -> None:
    values = {name: flat(settings) for name, settings in PRESETS.items()}
    differing = [name for name in setting_names() if len({str(values[size][name]) for size in PRESETS}) > 1]
    assert table_of_guide("presets") == rows_of(differing, values)


def test_guide_s_table_of_graph_distillation_has_what_its_recipes_change_and_the_values() -> None:
    values = {name: flat(configure(name, {"recipe": "distillation"})) for name in PRESETS}
    changed = [name for name in setting_names() if any(name in changes for changes in GRAPH.values())]
    assert table_of_guide("graph") == rows_of(changed, values)


def table_of_guide(name: str) -> list[list[str]]:
    """The cells of the table between `<!-- name -->` and `<!-- /name -->`, header first."""
    table = re.search(rf"<!-- {name} -->(.*)<!-- /{name} -->", read("docs/guide.md"), re.DOTALL)
    assert table is not None
    header, _, *rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table[1].split("\n") if line]
    return [header, *rows]


def rows_of(settings: list[str], values: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """The cells of a table of settings: a header, then a row for each with its value at every preset."""
    return [["setting", *PRESETS], *([name, *(printed(values[size][name]) for size in PRESETS)] for name in settings)]


def printed(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_the_release_s_setting_in_fidelity_is_valid_and_changes_every_value_it_names() -> None:
    values = dict(map(parse_assignment, re.findall(r"--set (\S+=\S+)", read("docs/fidelity.md"))))
    paper = preset("paper")
    assert len(values) > 5
    assert {name for name, value in values.items() if flat(paper)[name] == value} == set()
    with_values(paper, values)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", read(document)):
        path, _, anchor = target.partition("#")
        file = (REPOSITORY / document).parent / path if path else REPOSITORY / document
        assert file.is_file(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}, target
