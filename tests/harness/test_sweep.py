"""The command line: wrong usage ends with exit code 2 and one message that says what is valid; plans and lists."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from rich.console import Console

from harness import executor, settings_table, sweep
from harness.invocation import LONGEST_ERROR
from harness.ledger import Ledger, Record
from harness.request import Request
from harness.trials import Sweep
from search_spaces.narrowing import Interval
from search_spaces.paper_tables import table_ids
from search_spaces.space import find_space, space_names
from trainables.data import open_data
from trainables.models import make_encoder
from trainables.pipeline import PROTOCOL
from trainables.presets import preset
from trainables.runtime import DEFAULT_CACHE_BYTES, Runtime
from trainables.settings import ExperimentSettings, flat, setting_names, with_values

REPOSITORY = Path(__file__).resolve().parents[2]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Run]:
    """Calls the command in an empty directory; gives exit code, output and errors, their lines unwrapped."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setenv("TERMINAL_WIDTH", "1000")
    monkeypatch.setattr(executor, "run_trials", lambda *_, **__: pytest.fail("a trial was started"))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sweep.py", *arguments])
        with pytest.raises(SystemExit) as ended:
            sweep.app()
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, " ".join(output.err.split())

    yield call


def settings(values: dict[str, Any]) -> list[str]:
    return [part for name, value in values.items() for part in ("--set", f"{name}={value}")]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], ["--space or --table is missing", "temperatures"]),
        (["--space", "temperature"], ["unknown space 'temperature'", "temperatures"]),
        (["--space", "absent.py"], ["absent.py"]),
        (["--space", "temperatures", "--preset", "tiny"], ["unknown preset 'tiny'", "demo, small, paper"]),
        (["--space", "temperatures", "--set", "auxskd.temperature=1"], ["auxskd.temperature", "auxskd.teacher_temperature"]),
        (["--space", "temperatures", "--set", "auxskd.teacher_temperature"], ["NAME=VALUE"]),
        (["--space", "temperatures", "--set", "auxskd.teacher_temperature=0"], ["teacher_temperature = 0", "greater than 0"]),
        (["--space", "temperatures", "--set", "auxskd.teacher_temperature=-1"], ["greater than 0"]),
        (["--space", "temperatures", "--set", "auxskd.teacher_temperature=nan"], ["teacher_temperature = nan"]),
        (["--space", "temperatures", "--set", "auxskd.teacher_temperature=0.7"], ["draws it from 0.005 to 0.5"]),
        (["--space", "temperatures", "--set", f"finetune.epochs={'9' * 20}"], ["finetune.epochs", "at most 2,147,483,647"]),
        (["--space", "temperatures", "--set", "data.embedded.train=100000000"], ["data.embedded.train", "10000"]),
        (["--space", "temperatures", "--concurrency", "100000"], ["--concurrency", "4096"]),
        (["--space", "temperatures", "--runs-dir", "9" * 5000], ["--runs-dir: File name too long: 999"]),
        (["--space", "temperatures", "--store", sys.executable], [f"--store: not a directory: {sys.executable}"]),
        (["--space", "9" * 5000], ["unknown space '999"]),
        (["--space", "\x1b[31m"], ["unknown space '\\x1b[31m'"]),
        (["--space", "temperatures", "--range", "auxskd.teacher_temperature=0.6:0.7"], ["0.6:0.7", "nothing is left"]),
        (["--space", "temperatures", "--range", "auxskd.teacher_temperature=0.2:0.1"], ["--range", "0.2 is above 0.1"]),
        (["--space", "temperatures", "--range", "auxskd.teacher_temperature"], ["--range", "NAME=LOW:HIGH"]),
        (["--space", "temperatures", "--range", "auxskd.teacher_temperature=1:b"], ["--range", "are numbers"]),
        (
            ["--space", "temperatures", "--range", "auxskd.teacher_temperature=0.1,0.2"],
            ["draws it from", "LOW:HIGH"],
        ),
        (["--space", "temperatures", "--range", "vspp.speeds=2:3"], ["does not vary vspp.speeds", "student_temperature"]),
        (["--space", "temperatures", *["--range", "auxskd.teacher_temperature=0.1:0.2"] * 2], ["--range", "twice"]),
        (["--space", "pretext", "--range", "pretext.task=jigsaw"], ["pretext.task=jigsaw", "vspp", "nothing is left"]),
        (["--range", "auxskd.teacher_temperature=0.1:0.2"], ["--space or --table is missing"]),
        (
            ["--table", "auxskd/table3", "--set", "auxskd.teacher_temperature=0.03"],
            ["0.03", "0.01, 0.02", "nothing is left"],
        ),
        (["--space", "temperatures", "--set", "auxskd.epoch=5"], ["did you mean 'auxskd.epochs'?", "--settings auxskd"]),
        (["--space", "temperatures", "--config", "absent.yaml"], ["absent.yaml", "No such file"]),
        (["--space", "temperatures", "--data", "ucf11=."], ["unknown data set 'ucf11'", "did you mean 'ucf101'?"]),
        (["--space", "temperatures", "--cache-gb", "inf"], ["--cache-gb inf", "finite"]),
        (["--space", "temperatures", "--confirm", "3"], ["--confirm 3 --seeds 1", "at least 3 seeds", "one chooses"]),
        (["--space", "temperatures", "--confirm", "-1", "--seeds", "5"], ["--confirm", "0"]),
        (["--table", "graph/compression", "--confirm", "0", "--seeds", "3"], ["--confirm 0", "compression/student_parameters"]),
        (
            ["--space", "temperatures", "--search", "harness.identity:Confirm"],
            ["--search harness.identity:Confirm", "TypeError"],
        ),
        (["--space", "temperatures", "--search", "tpee"], ["unknown search 'tpee'", "nsga2", "package.module:NAME"]),
        (
            ["--space", "temperatures", "--objective", "validation/map2"],
            ["no stage of temperatures (0.01 / 0.01)", "validation/top1"],
        ),
        (["--space", "temperatures", "--objective", "test/top1"], ["'test/top1' is a test metric"]),
        (["--space", "temperatures", "--objective", "pretext/loss"], ["pretext/loss=maximize or pretext/loss=minimize"]),
        (["--space", "temperatures", *["--objective", "validation/top1"] * 2], ["an objective is named twice"]),
        (["--space", "temperatures", "--budget", "0h"], ["--budget '0h'", "more than 0"]),
        (["--space", "temperatures", "--budget", "12 weeks"], ["--budget '12 weeks'", "30m, 12h or 2d", "gpu-hours"]),
        (["--space", "temperatures", "--budget", "2h", "--join"], ["--budget goes without --join"]),
        (["--space", "temperatures", "--budget", "2 gpu-hours", "--gpus-per-trial", "0"], ["trials occupy no GPU here"]),
        (["--space", "temperatures", "--save-every", "0"], ["--save-every", "greater than or equal to 1"]),
        (["--space", "temperatures", "--save-every", "inf"], ["--save-every inf", "finite"]),
        (["--space", "temperatures", "--cache-gb", "nan"], ["--cache-gb", "0"]),
        (["--space", "temperatures", "--gpus-per-trial", "nan"], ["--gpus-per-trial", "0"]),
        (["--space", "temperatures", "--gpus-per-trial", "inf"], ["--gpus-per-trial inf", "finite"]),
        (["--space", "temperatures", "--gpus-per-trial", "1000"], ["--gpus-per-trial 1000", "this machine has"]),
        (["--space", "temperatures", "--name", "x" * 300], ["--name 'xxx", "at most 100 characters"]),
        (["--space", "temperatures", "--name", "a\nb"], ["--name", "printable"]),
        (["--space", "temperatures", "--name", ".."], ["--name '..'", "without a path"]),
        (["--space", "temperatures", "--name", "store"], ["--name 'store'", "finished stages"]),
        (["--space", "temperatures", "--name", "cache"], ["--name 'cache'", "decoded frames"]),
        (["--space", "recipes", "--set", "evaluation.measures=[retrieval]"], ["'validation/top1' needs 'finetune'"]),
        (["--space", "temperatures", "--set", "vspp.segments=17"], ["vspp.segments = 17", "video.clip_frames = 16"]),
        (["--space", "temperatures", "--set", "vspp.speeds=0"], ["vspp.speeds = 0", "greater than or equal to 1"]),
        (["--space", "temperatures", "--set", "data.pretraining=ucf"], ["unknown data set 'ucf'", "ucf101", "embedded"]),
        (["--space", "temperatures", "--set", "data.downstream=ucf101+ucf"], ["unknown data set 'ucf'"]),
        (["--space", "temperatures", "--set", "data.downstream=ucf101+"], ["ucf101+", "different names joined by +"]),
        (["--space", "epochs", "--set", "pretext.checkpoints=2"], ["is more than checkpoints = 2"]),
        (["--space", "temperatures", "--data", "ucf=."], ["unknown data set 'ucf'", "ucf101"]),
        (["--space", "temperatures", "--data", "ucf101"], ["no layout is recognised", "NAME=ucf101", "hmdb51", "folder"]),
        (["--space", "temperatures", "--data", "."], ["no layout is recognised", "NAME=.", "kinetics400"]),
        (["--space", "temperatures", "--data", "ucf101="], ["NAME=PATH"]),
        (["--space", "temperatures", "--data", "folder=.", "--data", "ucf101=."], ["--set data.pretraining=NAME"]),
        (["--space", "temperatures", "--data", "ucf101=nowhere"], ["nowhere", "nothing at"]),
        (["--space", "temperatures", "--data", "ucf101=."], ["ucf101"]),
        (["--space", "temperatures", "--data", "folder=."], ["video"]),
        (["--space", "temperatures", "--splits", "ucf101=."], ["--splits names ucf101", "--data"]),
        (["--table", "auxskd/table9"], ["unknown table 'auxskd/table9'", "auxskd/table2", "auxskd/figure4-left"]),
        (["--table", "table2"], ["unknown table 'table2'", "auxskd/table2"]),
        (["--table", "auxskd/table2", "--space", "temperatures"], ["--table", "neither with --space nor with --trials"]),
        (["--table", "auxskd/table2", "--trials", "3"], ["--table", "neither with --space nor with --trials"]),
        (["--table", "auxskd/table2", "--preset", "tiny"], ["unknown preset 'tiny'"]),
        (["--table", "auxskd/table2", "--preset", "paper"], ["kinetics100", "hmdb51", "--data", "--stand-in", "embedded"]),
        (["--table", "auxskd/table2", "--data", "folder=."], ["kinetics100", "--data ucf101=DIR", "--stand-in", "folder"]),
        (["--space", "auxskd", "--data", "folder=."], ["kinetics100", "--data", "--stand-in"]),
        (["--space", "auxskd", "--preset", "paper", "--stand-in", "ucf101=embedded"], ["kinetics100", "hmdb51", "--stand-in"]),
        (["--space", "temperatures", "--set", "data.pretraining=hmdb51", "--preset", "paper"], ["--data hmdb51=DIR"]),
        (["--table", "auxskd/table4", "--stand-in", "kinetics100"], ["--stand-in", "NAME=OTHER"]),
        (["--table", "auxskd/table4", "--stand-in", "imagenet=embedded"], ["imagenet", "kinetics100", "OTHER"]),
        (["--table", "auxskd/table4", "--stand-in", "kinetics100=ucf101"], ["kinetics100=ucf101", "OTHER one of embedded"]),
        (["--table", "auxskd/table4", "--stand-in", "kinetics100=embedded+ucf101"], ["kinetics100=embedded+ucf101"]),
        (["--space", "lambda", "--set", "graph.imitation_weight=1.5"], ["graph.imitation_weight = 1.5", "less than"]),
        (["--space", "graph", "--set", "graph.logits=none", "--set", "graph.edges=learned"], ["does not vary graph.edges any"]),
        (["--space", "lambda", "--set", "student.batch_size=1"], ["batch_size = 1", "greater than or equal to 2"]),
        (["--space", "lambda", "--set", "teachers.tasks=tracking"], ["teachers.tasks = tracking", "needs two or more"]),
        (["--space", "lambda", "--set", "teachers.tasks=sorting+sorting"], ["two teachers are the same"]),
        (["--space", "lambda", "--set", "teachers.tasks=sorting+jigsaw"], ["'jigsaw' is none of sorting, ego_motion"]),
        (["--space", "lambda", "--set", "evaluation.measures=[retrieval]"], ["recipe distillation has no retrieval"]),
        (["--space", "lambda", "--weights", "resnet=file"], ["--weights", "NETWORK=FILE", "alexnet"]),
        (["--space", "lambda", "--weights", "alexnet=nowhere"], ["--weights", "there is no file nowhere"]),
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


def test_how_often_states_are_saved_reaches_the_trials(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(sweep, "_plan", lambda request, runtime, *others: seen.append(runtime.save_every))
    for arguments in ([], ["--save-every", "45"]):
        assert run("--space", "temperatures", "--plan", *arguments)[0] == 0
    assert seen == [300, 45]


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


def test_list_names_every_space_and_table(run: Run) -> None:
    code, output, _ = run("--list")
    assert code == 0
    for name in (*space_names(), *table_ids()):
        assert re.search(rf"^{re.escape(name)} +\S", output, re.MULTILINE), name
    assert "Table 3" in output


@pytest.mark.parametrize("arguments", [["--json"], ["--json", "--list"], ["--space", "temperatures", "--json"]])
def test_json_alone_starts_nothing(run: Run, arguments: list[str]) -> None:
    code, _, message = run(*arguments)
    assert code == 2
    assert "--json goes with --plan or --settings" in message


def test_version(run: Run) -> None:
    code, output, _ = run("--version")
    assert (code, output) == (0, f"auxgraph {importlib.metadata.version('auxgraph')}\n")


@pytest.mark.parametrize(
    ("arguments", "without"),
    [
        (["--list"], {"ray", "wandb", "optuna", "torch"}),
        (["--settings"], {"ray", "wandb", "optuna", "torch"}),
        (["--settings", "auxskd", "--space", "temperatures", "--json"], {"ray", "wandb", "optuna", "torch"}),
        (["--help"], {"ray", "wandb", "optuna", "torch"}),
        (["--space", "temperatures", "--trials", "1", "--plan"], {"ray", "wandb"}),
    ],
)
def test_what_is_only_shown_waits_for_no_heavy_package(tmp_path: Path, arguments: list[str], without: set[str]) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['harness/sweep.py', *{arguments!r}]\n"
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "print('imported', *sys.modules)"
    )
    options = {"capture_output": True, "text": True, "timeout": 120, "check": False}
    program = [sys.executable, "-X", "faulthandler", "-c", code]
    done = subprocess.run(program, cwd=REPOSITORY, env=os.environ | {"COLUMNS": "80"}, **options)
    assert done.returncode == 0, done.stderr
    assert not without & set(done.stdout.splitlines()[-1].split())


def test_nothing_can_be_joined_that_nobody_runs(run: Run) -> None:
    code, _, message = run("--space", "temperatures", "--name", "mine", "--join")
    assert code == 2
    assert "error: --join: no process runs sweep 'mine' in " in message
    assert not Path("runs/mine").exists()


def test_what_is_quoted_in_an_error_is_cut(run: Run) -> None:
    code, _, message = run("--space", "9" * 5000)
    assert code == 2
    assert len(message) < LONGEST_ERROR + 100


def test_a_network_that_no_memory_holds_is_said_before_anything_runs(run: Run) -> None:
    code, _, message = run("--space", "temperatures", "--set", "backbone.width=100000000", "--plan")
    assert code == 2
    assert "error: backbone: 4 clips of it" in message  # behind a note, where the machine is slow
    assert "this machine, which has" in message


def test_a_disk_that_cannot_be_read_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError(5, "Input/output error", "runs/x/ledger.jsonl")

    monkeypatch.setattr(Request, "sweep", fails)
    code, _, message = run("--space", "temperatures")
    assert (code, message) == (1, "error: Input/output error: runs/x/ledger.jsonl")


def test_help_names_every_flag_of_the_contract(run: Run) -> None:
    code, output, _ = run("--help")
    assert code == 0
    names = "space table preset data splits stand-in weights set trials seeds search concurrency gpus-per-trial name runs-dir "
    names += "store wandb tensorboard retry-failed address list plan json settings config range version"
    assert [name for name in names.split() if f"--{name}" not in output] == []
    assert [panel for panel in ("What is swept", "Data", "Search", "Run", "Watch") if f"─ {panel} ─" not in output] == []
    assert f"default: {DEFAULT_CACHE_BYTES // 2**30}" in output


def test_plan_as_json_counts_and_writes_nothing(run: Run, tmp_path: Path, tiny_values: dict[str, Any]) -> None:
    """Nine configurations of two seeds: seven stages each, none shared."""
    options = ["--trials", "9", "--seeds", "2", "--plan", "--json", *settings(tiny_values)]
    code, output, _ = run("--space", "temperatures", *options)
    assert code == 0
    plan = json.loads(output)
    assert (plan["trials"], plan["stages_to_run"], plan["stages_done"], plan["stages_naive"]) == (18, 126, 0, 126)
    assert 0 < plan["hours_low"] <= plan["hours_expected"]
    assert list(tmp_path.iterdir()) == []


def test_a_plan_says_which_rows_have_nothing_to_start_from(run: Run, tiny_graph_values: dict[str, Any], tmp_path: Path) -> None:
    changes = {name: value for name, value in tiny_graph_values.items() if name != "recipe"}  # which would leave fewer rows
    changes |= {"data.downstream": "ucf101", "prediction.stride": 2}
    options = ["--table", "graph/table1", "--stand-in", "ucf101=embedded", "--plan", *settings(changes)]
    code, output, message = run(*options)
    assert code == 0, message
    said = "AlexNet, ImageNet pretrained -> ucf101 will fail: student.initialisation = imagenet: give the weights of AlexNet"
    assert " ".join(output.split()).count(said) == 1
    other = with_values(ExperimentSettings(), {"alexnet.channels": [5, 5, 5, 5, 5], "alexnet.hidden": 7})
    torch.save(make_encoder("alexnet", other, 6).state_dict(), tmp_path / "alexnet.pth")
    _, output, _ = run(*options, "--weights", f"alexnet={tmp_path / 'alexnet.pth'}")
    said = r"weights alexnet: alexnet .*which sees pixels as rgb_imagenet.*; trials have alexnet\.channels="
    assert re.search(said, " ".join(output.split())), "nothing of it is set, which is shown"


def test_a_plan_keeps_what_it_found_out_of_many_videos(
    run: Run, tmp_path: Path, tiny_values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And adds nothing to what is there otherwise: the next plan reads no video."""
    plan = ("--space", "temperatures", "--plan", "--json", *settings(tiny_values))
    monkeypatch.setattr(sweep, "LARGE_INVENTORY", 100)
    assert run(*plan)[0] == 0
    (kept,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert kept.name == "inventory-embedded.jsonl"
    whole = kept.read_bytes()
    monkeypatch.setattr(sweep, "LARGE_INVENTORY", 2**20)
    kept.write_bytes(whole[: len(whole) // 2])
    assert run(*plan)[0] == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [kept] and kept.read_bytes() == whole[: len(whole) // 2]


def test_plan_for_people(run: Run, tmp_path: Path, tiny_values: dict[str, Any]) -> None:
    code, output, _ = run("--space", "temperatures", "--plan", "--trials", "8", *settings(tiny_values))
    assert code == 0
    for text in ("8 trials", "0.01 / 0.1", "#7", "proposed later", "6 classes", "12 train", "56 to run"):
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
    assert "18 to run" in output, "5 + 6 + 7 stages"


def test_embedded_clips_stand_in_at_small_presets_when_no_data_are_given(
    run: Run, tmp_path: Path, tiny_values: dict[str, Any]
) -> None:
    """Named as such; a table's rows all at once. With the sets named one by one, at preset paper too."""
    code, output, message = run("--table", "auxskd/table2", "--plan", *settings(tiny_values))
    assert code == 0, message
    for name in ("ucf101", "hmdb51", "kinetics100", "kinetics400"):
        assert f"data {name} (embedded in its place)" in output
    assert "16 trials" in output
    assert "92 to run" in output, "4 auxSKD, 8 pretext, and 16 times 5"
    stand_ins = [part for name in ("kinetics100", "ucf101") for part in ("--stand-in", f"{name}=embedded")]
    options = ["--preset", "paper", "--plan", "--json", *stand_ins, *settings(tiny_values | {"backbone.depth": 10})]
    code, output, message = run("--table", "auxskd/table4", *options)
    assert code == 0, message
    assert json.loads(output)["trials"] == 6
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def folder(tiny: ExperimentSettings, clips: Path, tmp_path: Path) -> Path:
    """A folder of class folders with the tiny embedded clips."""
    videos = open_data(tiny.data, Runtime(tmp_path / "no-store", clips))["downstream"]
    for video in (*videos.train, *videos.validation, *videos.test):
        place = tmp_path / "videos" / videos.classes[video.label]
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(video.path, place)
    return tmp_path / "videos"


def test_a_directory_alone_is_recognised_and_serves_for_everything(run: Run, folder: Path, tiny_values: dict[str, Any]) -> None:
    outputs = []
    for data in (str(folder), f"folder={folder}"):
        code, output, message = run("--space", "temperatures", "--data", data, "--plan", *settings(tiny_values))
        assert code == 0, message
        outputs.append(re.sub(r"[\d.]+ .B are free", "", output))
    assert outputs[0] == outputs[1]
    assert "data folder: 6 classes" in outputs[0]
    assert "embedded" not in outputs[0]


def test_one_set_in_the_place_of_all_others(run: Run, folder: Path, tiny_values: dict[str, Any]) -> None:
    options = ["--data", str(folder), "--plan", *settings(tiny_values)]
    options += [part for name in ("kinetics100", "ucf101") for part in ("--stand-in", f"{name}=folder")]
    code, output, message = run("--table", "auxskd/table3", *options)
    assert code == 0, message
    assert "data kinetics100 (folder in its place)" in output
    assert "data ucf101 (folder in its place)" in output


def request(tmp_path: Path, **changes: Any) -> Request:
    fields: dict[str, Any] = {
        "space": None,
        "table": None,
        "preset": "demo",
        "changes": {},
        "stand_ins": {},
        "search": "tpe",
        "trials": None,
        "seeds": 1,
        "name": None,
        "runs_dir": tmp_path,
    }
    return Request(**(fields | changes))


def test_names_of_sweeps_tell_apart_what_differs(tmp_path: Path, tiny_values: dict[str, Any]) -> None:
    """Space or table, preset, data, search and changes; and values of the user are over those of the space."""
    place = Runtime(tmp_path / "store", tmp_path / "cache")
    requests = [
        request(tmp_path, table="auxskd/table4"),
        request(tmp_path, table="auxskd/table4", preset="small"),
        request(tmp_path, table="auxskd/table4", changes={"vspp.segment_frames": "inclusive"}),
        request(tmp_path, table="auxskd/table4", stand_ins={"kinetics100": "embedded", "ucf101": "embedded"}),
        request(tmp_path, space="segments"),
        request(tmp_path, space="segments", search="grid"),
        request(tmp_path, space="segments", changes={"data.pretraining": "kinetics100"}),
        request(tmp_path, space="segments", changes={"backbone.family": "r2plus1d"}),
    ]
    sweeps = [one.sweep(place) for one in requests]
    assert len({sweep.name for sweep in sweeps}) == len(sweeps)
    assert sweeps[0].name == "auxskd-table4-demo"
    assert sweeps[4].name == "segments-demo"
    assert [sweeps[index].configured({}).backbone.family for index in (4, 7)] == ["r3d", "r2plus1d"]
    assert [sweep.trials for sweep in sweeps[:5]] == [6, 6, 6, 6, 12]
    assert sweeps[5].trials >= len(sweeps[5].space.grid())


T, S = "auxskd.teacher_temperature", "auxskd.student_temperature"


def test_setting_what_a_space_varies_narrows_it_and_changes_nothing_else(tmp_path: Path, tiny_values: dict[str, Any]) -> None:
    """The two rows with this teacher's temperature stay the trials that they are in the whole sweep; the sweep is another."""
    place = Runtime(tmp_path / "store", tmp_path / "cache")
    whole = request(tmp_path, space="temperatures", changes=tiny_values).sweep(place)
    sweep = request(tmp_path, space="temperatures", changes=tiny_values | {T: 0.02}).sweep(place)
    assert [row.label for row in sweep.space.rows] == ["0.02 / 0.02", "0.02 / 0.1"]
    assert (sweep.rows_left_out, sweep.trials, sweep.narrowing) == (5, 5, {T: 0.02})
    assert sweep.values == whole.values

    def trials(of: Sweep) -> dict[str | None, str]:
        source = of.proposals(Ledger(of.directory))
        found = [source.next() for _ in of.space.rows]
        return {configuration.row: of.jobs(configuration)[0].trial for configuration in found}

    assert trials(sweep).items() <= trials(whole).items()
    assert len(trials(sweep)) == 2
    assert whole.name != sweep.name
    assert "narrowing" not in whole.identity(), "as sweeps were written down before there was any"
    ranges = whole.identity()["ranges"] | {T: "0.02"}
    assert sweep.identity() == whole.identity() | {"narrowing": {T: 0.02}, "ranges": ranges}


def test_ranges_are_part_of_name_and_identity(tmp_path: Path) -> None:
    place = Runtime(tmp_path / "store", tmp_path / "cache")
    sweeps = [
        request(tmp_path, space="temperatures", ranges=ranges).sweep(place)
        for ranges in ({}, {T: Interval(0.01, 0.1)}, {T: Interval(0.01, 0.2)}, {S: Interval(0.01, 0.1)})
    ]
    assert len({sweep.name for sweep in sweeps}) == len({json.dumps(sweep.identity()) for sweep in sweeps}) == 4
    assert sweeps[1].narrowing == {T: "0.01:0.1"}


def test_a_table_of_some_of_its_rows(tmp_path: Path) -> None:
    sweep = request(tmp_path, table="auxskd/table2", changes={"backbone.family": "r3d"}).sweep(
        Runtime(tmp_path / "store", tmp_path / "cache")
    )
    assert (sweep.trials, len(sweep.space.rows), sweep.rows_left_out) == (8, 8, 8)


def test_a_conditional_parameter_that_is_pinned_is_set_only_where_it_is_asked(tmp_path: Path) -> None:
    """Rows without a graph of logits have no edges, and stay as they are."""
    place = Runtime(tmp_path / "store", tmp_path / "cache")
    sweep = request(tmp_path, space="graph", changes={"graph.edges": "uniform"}).sweep(place)
    assert "graph.edges" not in sweep.values
    assert any("graph.edges" not in row.parameters for row in sweep.space.rows)


def test_a_file_of_settings_is_as_good_as_set(run: Run, tmp_path: Path, tiny_values: dict[str, Any]) -> None:
    """The same name and plan; --set wins over the file; the file may pin what the space varies."""
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tiny_values | {T: 0.02, "vspp.speeds": 3}))
    given = settings(tiny_values | {T: 0.02, "vspp.speeds": 3})
    outputs = []
    for options in (given, ["--config", "mine.yaml"], ["--config", "mine.yaml", "--set", "vspp.speeds=2"]):
        code, output, message = run("--space", "temperatures", "--plan", *options)
        assert code == 0, message
        outputs.append([line for line in output.splitlines() if "hours here" not in line])
    assert outputs[0] == outputs[1] != outputs[2]
    assert "temperatures-demo-" in outputs[0][0]
    assert f"narrowed to {T}=0.02; 5 rows of temperatures are left out" in outputs[0]


def test_settings_of_a_sweep_as_json(run: Run, tmp_path: Path) -> None:
    """Values under preset, space and --set; what varies, and over what; what departs from the preset."""
    options = ["--space", "temperatures", "--set", "auxskd.epochs=3", "--set", "finetune.epochs=24", "--range", f"{S}=0.05:0.2"]
    code, output, message = run("--settings", "--json", *options)
    assert code == 0, message
    found = {one["name"]: one for one in json.loads(output)}
    assert list(found) == setting_names()
    demo = flat(preset("demo"))
    assert {name: one["value"] for name, one in found.items()} == demo | {"auxskd.epochs": 3, "finetune.epochs": 24}
    assert {name: one["varies"] for name, one in found.items() if one["varies"]} == {
        T: "0.005 to 0.5, log",
        S: "0.05 to 0.2, log",
    }
    assert {name for name, one in found.items() if one["departs"]} == {"auxskd.epochs"}, "finetune.epochs is the preset's"
    assert (found["auxskd.epochs"]["type"], found["auxskd.epochs"]["valid"]) == ("whole number", "at least 1")
    assert list(tmp_path.iterdir()) == []


def test_settings_are_those_that_trials_have(run: Run) -> None:
    """What comes with a recipe, a protocol or a task that the rows, or a pinned parameter, choose is in the values."""

    def shown(*options: str) -> dict[str, Any]:
        code, output, message = run("--settings", "--json", *options)
        assert code == 0, message
        return {one["name"]: one["value"] for one in json.loads(output)}

    of_graphs = shown("--table", "graph/table1")
    assert (of_graphs["video.clip_frames"], of_graphs["evaluation.measures"]) == (8, ["finetune"])
    rspnet = ["--preset", "paper", "--set", "protocol=published", "--set", "pretext.task=rspnet"]
    for options in (rspnet, [*rspnet, "--space", "pretext"]):
        assert shown(*options)["pretext.learning_rate"] == 0.025


def test_settings_of_a_preset_are_those_of_the_data_given(run: Run, tmp_path: Path) -> None:
    """Without a space, too."""
    code, printed, _ = run("--settings", "data.downstream", "--data", f"folder={tmp_path}", "--json")
    assert code == 0
    assert {one["name"]: one["value"] for one in json.loads(printed)} == {"data.downstream": "folder"}


def test_settings_for_people(run: Run) -> None:
    code, output, _ = run("--settings", "auxskd.", "--space", "temperatures", "--set", f"{T}=0.05", "--set", "auxskd.epochs=3")
    assert code == 0
    rows = [line.split() for line in output.splitlines() if line.strip() and line[2:3] != " "]
    lines = {words[1 if words[0] in "*~" else 0]: words for words in rows}
    assert lines["teacher_temperature"][:3] == ["*", "teacher_temperature", "0.05"]
    assert lines["student_temperature"][:3] == ["~", "student_temperature", "varies"]
    assert lines["epochs"][:3] == ["*", "epochs", "3"]
    assert lines["views"][:2] == ["views", "independent"]
    assert "0.005 to 0.5, log" in output
    assert "finetune" not in output
    code, _, message = run("--settings", "auxsdk")
    assert (code, "did you mean 'auxskd'?" in message) == (2, True)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_of_settings_fits_the_terminal(width: int) -> None:
    """Nothing is cut off: every word of each description is there, at any width."""
    console = Console(file=io.StringIO(), width=width)
    found = settings_table.settings_of("paper", {}, find_space("temperatures"), {})
    settings_table.show(found, "settings", console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, printed.splitlines()[:-1])) <= width
    letters = "".join(printed.split())
    for one in found:
        assert one.setting.name.rpartition(".")[2] in letters
        if len(str(one.value)) <= settings_table.VALUE_WIDTH:  # else the lines of the value stand between those of the meaning
            assert "".join(one.setting.description.split()) in letters, one.setting.name
    assert "…" not in printed


def test_complete_trials_of_other_sweeps_are_seen_by_tables_only(tmp_path: Path) -> None:
    """Those that failed or were interrupted elsewhere are still missing; the table's own ledger is not `elsewhere`."""
    place = Runtime(tmp_path / "store", tmp_path / "cache")
    asked = request(tmp_path, table="auxskd/table4")
    own = asked.sweep(place).name
    for name, outcome in (("one", "complete"), ("two", "failed"), ("three", "interrupted"), (own, "complete")):
        (tmp_path / name).mkdir()
        Ledger(tmp_path / name).append(sample_record(f"of {name}", outcome))
    (tmp_path / "older").mkdir()
    Ledger(tmp_path / "older").append(sample_record("of older", "complete", "0"))
    assert set(asked.sweep(place).elsewhere) == {"of one"}
    assert request(tmp_path, space="segments").sweep(place).elsewhere == {}


def sample_record(trial: str, outcome: str, protocol: str = PROTOCOL) -> Record:
    names = ("parameters", "settings", "data", "stages", "metrics", "seconds")
    values: dict[str, Any] = {name: {} for name in names}
    values |= {"space": "segments", "preset": "demo", "command": "", "row": None, "reason": None}
    values |= {"versions": {"protocol": protocol}}
    return Record.model_validate(values | {"trial": trial, "index": 0, "seed": 0, "outcome": outcome})


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
