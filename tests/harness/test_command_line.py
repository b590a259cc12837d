"""The command `auxgraph`: it has every script's command, imports what is called, and is as good as the script."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.command_line import SCRIPTS

REPOSITORY = Path(__file__).resolve().parents[2]


def auxgraph(where: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = (
        f"import sys; sys.argv = ['auxgraph', *{arguments!r}]\n"
        "import atexit; atexit.register(lambda: print('imported', *sys.modules, file=sys.stderr))\n"
        "from harness.command_line import app; app(prog_name='auxgraph')"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "100", "TERMINAL_WIDTH": "100", **environment}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, timeout=120, check=False)


def imported(done: subprocess.CompletedProcess[str]) -> set[str]:
    return set(done.stderr.splitlines()[-1].split())


def test_help_names_the_commands_and_imports_none(tmp_path: Path) -> None:
    done = auxgraph(tmp_path, "--help")
    assert done.returncode == 0
    assert all(f" {name} " in done.stdout for name in [*SCRIPTS, "store"])
    assert not {"harness.sweep", "reports", "torch", "ray"} & imported(done)


@pytest.mark.parametrize("name", [*SCRIPTS, "store"])
def test_each_command_is_there(tmp_path: Path, name: str) -> None:
    done = auxgraph(tmp_path, name, "--help")
    assert done.returncode == 0, done.stderr
    assert "usage: " in done.stdout.lower()
    others = {module for other, (module, _) in SCRIPTS.items() if other != name}
    assert not others & imported(done)


def test_errors_and_exit_codes_are_those_of_the_script(tmp_path: Path) -> None:
    done = auxgraph(tmp_path, "sweep", "--space", "temperature")
    assert done.returncode == 2
    assert "error: unknown space 'temperature'" in done.stderr
    assert "Traceback" not in done.stderr
    done = auxgraph(tmp_path, "sweep", "--settings", "backbone.depth", "--json")
    assert done.returncode == 0
    assert '"name": "backbone.depth"' in done.stdout
    assert auxgraph(tmp_path, "nonsense").returncode == 2
    assert auxgraph(tmp_path, "--version").stdout.startswith("auxgraph 0.")


def test_the_shell_completes_commands_and_their_options(tmp_path: Path) -> None:
    def completed(words: str) -> str:
        number = str(len(words.split(" ")) - 1)
        return auxgraph(tmp_path, _AUXGRAPH_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=number).stdout

    assert {"sweep", "tables", "store"} <= set(completed("auxgraph ").split())
    assert {"--space", "--settings", "--set", "--seeds"} <= set(completed("auxgraph sweep --s").split())
    assert completed("auxgraph sweep --space temp").split() == ["temperatures"]
