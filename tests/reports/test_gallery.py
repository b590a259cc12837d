"""The gallery: which commands it gives, and what its README says of what they leave. The commands themselves are not run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from reports import gallery
from search_spaces.papers import paper_tables


def test_every_table_is_run_and_every_link_is_written(samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Sequence[str]] = []
    monkeypatch.setattr(gallery, "_run", lambda command, allowed=(): given.append(command))
    arguments = ["--runs-dir", str(samples), "--out", str(tmp_path), "--seeds", "4", "--", "--concurrency", "1"]
    result = CliRunner().invoke(gallery.app, arguments)
    assert result.exit_code == 0, result.output
    sweeps = [command for command in given if command[0] == "harness/sweep.py"]
    assert [command[2] for command in sweeps if command[1] == "--table"] == list(paper_tables())
    assert all(command[command.index("--seeds") + 1] == "4" and command[-2:] == ["--concurrency", "1"] for command in sweeps)

    readme = (tmp_path / "README.md").read_text()
    links = {link for link in re.findall(r"\]\(([^)]+)\)", readme) if not link.startswith("..")}
    tables = next(command for command in given if command[0] == "reports/tables.py")
    written = {f"{paper_tables()[name].file_stem}.md" for name in tables[1 : tables.index("--format")]}
    written |= {f"{paper_tables()[name].file_stem}.png" for name in gallery.FIGURES}
    written |= {Path(command[command.index("--out") + 1]).name for command in given if "--out" in command}
    assert links <= written
    assert "4 seeds" in readme


def test_a_command_that_fails_ends_it_with_its_exit_code(tmp_path: Path) -> None:
    with pytest.raises(typer.Exit) as stopped:
        gallery._run(["harness/sweep.py", "--space", "unheard-of", "--runs-dir", str(tmp_path)])
    assert stopped.value.exit_code == 2
    gallery._run(["harness/sweep.py", "--space", "unheard-of", "--runs-dir", str(tmp_path)], allowed=(2,))
