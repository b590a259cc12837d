"""The command line: wrong usage ends with exit code 2 and one message that says what is valid; plans and lists."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import sweep

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Run]:
    """Calls the command in an empty directory; gives exit code, output and errors, their lines unwrapped."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setenv("TERMINAL_WIDTH", "1000")
    monkeypatch.setattr(sweep, "run_trials", lambda *_, **__: pytest.fail("a trial was started"))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sweep.py", *arguments])
        with pytest.raises(SystemExit) as ended:
            sweep.command()
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, " ".join(output.err.split())

    yield call


def settings(values: dict[str, Any]) -> list[str]:
    return [part for name, value in values.items() for part in ("--set", f"{name}={value}")]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], ["--space is missing", "temperatures"]),
        (["--space", "temperature"], ["unknown space 'temperature'", "temperatures"]),
        (["--space", "absent.py"], ["absent.py"]),
        (["--space", "temperatures", "--preset", "tiny"], ["unknown preset 'tiny'", "demo, small, paper"]),
        (["--space", "temperatures", "--set", "auxskd.temperature=1"], ["auxskd.temperature", "auxskd.teacher_temperature"]),
        (["--space", "temperatures", "--set", "auxskd.teacher_temperature"], ["NAME=VALUE"]),
        (["--space", "temperatures", "--set", "auxskd.teacher_temperature=0"], ["teacher_temperature = 0", "greater than 0"]),
        (["--space", "temperatures", "--set", "auxskd.teacher_temperature=-1"], ["greater than 0"]),
        (["--space", "temperatures", "--set", "auxskd.teacher_temperature=nan"], ["teacher_temperature = nan"]),
        (["--space", "temperatures", "--set", "vspp.segments=17"], ["vspp.segments = 17", "video.clip_frames = 16"]),
        (["--space", "temperatures", "--set", "vspp.speeds=0"], ["vspp.speeds = 0", "greater than or equal to 1"]),
        (["--space", "temperatures", "--set", "data.pretraining=ucf"], ["unknown dataset 'ucf'", "ucf101", "embedded"]),
        (["--space", "temperatures", "--data", "ucf=."], ["unknown data set 'ucf'", "ucf101"]),
        (["--space", "temperatures", "--data", "ucf101"], ["NAME=PATH"]),
        (["--space", "temperatures", "--data", "ucf101=nowhere"], ["nowhere", "nothing at"]),
        (["--space", "temperatures", "--data", "ucf101=."], ["ucf101"]),
        (["--space", "temperatures", "--data", "folder=."], ["video"]),
        (["--space", "temperatures", "--splits", "ucf101=."], ["--splits names ucf101", "--data"]),
        (["--space", "temperatures", "--search", "annealing"], ["--search", "tpe", "random", "grid"]),
        (["--space", "temperatures", "--wandb", "maybe"], ["--wandb", "offline"]),
        (["--space", "temperatures", "--trials", "0"], ["--trials"]),
        (["--space", "temperatures", "--seeds", "0"], ["--seeds"]),
        (["--space", "temperatures", "--concurrency", "0"], ["--concurrency"]),
        (["--space", "temperatures", "--name", "a/b"], ["a/b", "without a path"]),
        (["--space", "temperatures", "--nonsense"], ["--nonsense"]),
    ],
)
def test_wrong_usage_says_what_is_valid(run: Run, tmp_path: Path, arguments: list[str], says: list[str]) -> None:
    for mode in ([], ["--plan"]):
        code, _, message = run(*arguments, *mode)
        assert code == 2, message
        assert [text for text in says if text not in message] == [], message
        assert "Traceback" not in message
    assert not list(tmp_path.rglob("ledger.jsonl"))


def test_store_that_cannot_be_written_to(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, message = run("--space", "temperatures", "--store", str(tmp_path / "file" / "store"))
    assert code == 2
    assert "cannot write to the store" in message


def test_runs_directory_that_cannot_be_written_to(run: Run, tmp_path: Path, tiny_values: dict[str, Any]) -> None:
    """The store may lie elsewhere, and then it is not what fails first."""
    (tmp_path / "file").touch()
    places = ["--runs-dir", str(tmp_path / "file" / "runs"), "--store", str(tmp_path / "store")]
    code, _, message = run("--space", "temperatures", *settings(tiny_values), *places)
    assert code == 2
    assert str(tmp_path / "file") in message


def test_list_names_every_space(run: Run) -> None:
    code, output, _ = run("--list")
    assert code == 0
    assert "temperatures" in output
    assert "Table 3" in output


def test_help_names_every_flag_of_the_contract(run: Run) -> None:
    code, output, _ = run("--help")
    assert code == 0
    names = "space preset data splits set trials seeds search concurrency gpus-per-trial name runs-dir store wandb "
    names += "retry-failed address list plan json"
    assert [name for name in names.split() if f"--{name}" not in output] == []


def test_plan_as_json_counts_and_writes_nothing(run: Run, tmp_path: Path, tiny_values: dict[str, Any]) -> None:
    """Nine configurations of two seeds: four stages each, none shared."""
    options = ["--trials", "9", "--seeds", "2", "--plan", "--json", *settings(tiny_values)]
    code, output, _ = run("--space", "temperatures", *options)
    assert code == 0
    plan = json.loads(output)
    assert (plan["trials"], plan["stages_to_run"], plan["stages_done"], plan["stages_naive"]) == (18, 72, 0, 72)
    assert 0 < plan["hours_low"] <= plan["hours_expected"]
    assert list(tmp_path.iterdir()) == []


def test_plan_for_people(run: Run, tmp_path: Path, tiny_values: dict[str, Any]) -> None:
    code, output, _ = run("--space", "temperatures", "--plan", "--trials", "8", *settings(tiny_values))
    assert code == 0
    for text in ("8 trials", "0.01/0.1", "#7", "proposed later", "6 classes", "12 train", "32 to run"):
        assert text in output
    assert list(tmp_path.iterdir()) == []


WORDS = """
from search_spaces.space import Row, Space

SPACE = Space(
    name="words", summary="recipes", rows=(Row("random", {"recipe": "scratch"}), Row("VSPP", {"recipe": "pretext"})),
    suggest=lambda trial: {"recipe": trial.suggest_categorical("recipe", ["scratch", "pretext", "auxskd_pretext"])},
    grid=lambda: [{"recipe": "auxskd_pretext"}],
)
"""


def test_parameters_may_be_words(run: Run, tmp_path: Path, tiny_values: dict[str, Any]) -> None:
    """A space of one's own that varies what is no number."""
    (tmp_path / "words.py").write_text(WORDS)
    code, output, message = run("--space", "words.py", "--plan", "--search", "grid", *settings(tiny_values))
    assert code == 0, message
    assert "auxskd_pretext" in output
    assert "9 to run" in output, "2 + 3 + 4 stages"


def test_another_sweep_of_the_same_name_is_refused(run: Run, tmp_path: Path, tiny_values: dict[str, Any]) -> None:
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "sweep.json").write_text('{"space": "other"}')
    code, _, message = run("--space", "temperatures", "--name", "mine", *settings(tiny_values))
    assert code == 2
    assert "space: other then, temperatures now" in message


def test_a_damaged_ledger_is_named_with_its_line(run: Run, tmp_path: Path, tiny_values: dict[str, Any]) -> None:
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "ledger.jsonl").write_text("nonsense\n")
    for mode in ([], ["--plan"]):
        code, _, message = run("--space", "temperatures", "--name", "mine", *settings(tiny_values), *mode)
        assert code == 2
        assert "ledger.jsonl, line 1" in message
