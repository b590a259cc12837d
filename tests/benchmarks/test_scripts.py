"""The scripts in benchmarks/ can be imported, say what to type, and are those of docs/benchmarks.md; nothing is measured."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "benchmarks").glob("[!_]*.py"))}
SCRIPTS = [name for name, text in MODULES.items() if 'if __name__ == "__main__":' in text]
COMMAND = re.compile(r"^ *(?:[A-Z_]+=\S+ )?python benchmarks/(\w+)\.py", re.MULTILINE)


@pytest.mark.parametrize("name", MODULES)
def test_it_can_be_imported(name: str) -> None:
    importlib.import_module(f"benchmarks.{name}")


@pytest.mark.parametrize("name", SCRIPTS)
def test_its_docstring_begins_with_the_command_to_type(name: str) -> None:
    """After the line that says what it is for."""
    _, commands, *_ = (importlib.import_module(f"benchmarks.{name}").__doc__ or "").split("\n\n")
    assert [COMMAND.match(line) is not None for line in commands.splitlines()] == [True] * len(commands.splitlines())
    assert set(COMMAND.findall(commands)) == {name}


def test_every_figure_of_the_page_has_a_script_and_every_script_its_section() -> None:
    """A row of the page's first table begins with a link to the section that has the command."""
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    head, *sections = re.split(r"^## ", page, flags=re.MULTILINE)
    scripts = {section.partition("\n")[0].lower().replace(" ", "-"): set(COMMAND.findall(section)) for section in sections}
    assert sorted(name for named in scripts.values() for name in named) == SCRIPTS
    rows = re.findall(r"^\| \[[^]]+\]\(#([\w-]+)\)", head, re.MULTILINE)
    assert len(rows) == head.count("\n| ") - 1, "all but the header"
    assert [row for row in rows if not scripts.get(row)] == []


def test_those_for_a_machine_with_a_gpu_need_neither_the_harness_nor_video_decoders() -> None:
    """A process that can import none of them imports these."""
    missing = ("ray", "optuna", "wandb", "decord", "av")
    program = f"import sys; sys.modules.update(dict.fromkeys({missing}))\n"
    program += "import benchmarks.distillation_step, benchmarks.gpu, benchmarks.pretraining_throughput"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
