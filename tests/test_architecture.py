"""The dependency rule, and names that must not hide other packages."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
TOP_LEVEL = ("harness", "trainables", "search_spaces", "reports")


def test_imports_keep_the_contracts_of_pyproject() -> None:
    pytest.importorskip("importlinter", reason="import-linter is among the dev dependencies")
    code = (
        "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


@pytest.mark.parametrize("folder", ["harness", "reports"])
def test_scripts_folders_hide_no_other_package(folder: str) -> None:
    """`python harness/sweep.py` puts harness/ first on the import path: a `platform.py` in it would be imported everywhere."""
    others = {*sys.stdlib_module_names, *importlib.metadata.packages_distributions()} - set(TOP_LEVEL)
    own = {path.stem for path in (REPOSITORY / folder).iterdir() if path.suffix == ".py" or path.is_dir()} - {"__init__"}
    assert own, "there is something to check"
    assert own & others == set()


def test_trainables_import_without_ray_optuna_and_wandb() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['ray', 'optuna', 'wandb']));"
        "import trainables.pipeline, search_spaces.space, reports.tables, harness.ledger"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd="/", env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr


def test_no_machine_s_paths_in_the_sources() -> None:
    for top in TOP_LEVEL:
        for path in (REPOSITORY / top).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert "/home/" not in text and "/work/" not in text, path
