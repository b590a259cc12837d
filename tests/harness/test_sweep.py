"""The command line: wrong usage ends with exit code 2 and one message that says what is valid; plans and lists."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import sweep
from harness.ledger import Ledger, Record
from harness.request import Request
from search_spaces.paper_tables import table_ids
from search_spaces.space import space_names
from trainables.data import open_data
from trainables.pipeline import PROTOCOL
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings

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
        ([], ["--space or --table is missing", "temperatures"]),
        (["--space", "temperature"], ["unknown space 'temperature'", "temperatures"]),
        (["--space", "absent.py"], ["absent.py"]),
        (["--space", "temperatures", "--preset", "tiny"], ["unknown preset 'tiny'", "demo, small, paper"]),
        (["--space", "temperatures", "--set", "auxskd.temperature=1"], ["auxskd.temperature", "auxskd.teacher_temperature"]),
        (["--space", "temperatures", "--set", "auxskd.teacher_temperature"], ["NAME=VALUE"]),
        (["--space", "temperatures", "--set", "auxskd.teacher_temperature=0"], ["teacher_temperature = 0", "greater than 0"]),
        (["--space", "temperatures", "--set", "auxskd.teacher_temperature=-1"], ["greater than 0"]),
        (["--space", "temperatures", "--set", "auxskd.teacher_temperature=nan"], ["teacher_temperature = nan"]),
        (["--space", "temperatures", "--set", "auxskd.teacher_temperature=0.05"], ["temperatures varies it"]),
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
        (["--space", "lambda", "--set", "graph.imitation_weight=0.5"], ["lambda varies it"]),
        (["--space", "graph", "--set", "graph.edges=learned"], ["graph varies it"]),
        (["--space", "lambda", "--set", "student.batch_size=1"], ["batch_size = 1", "greater than or equal to 2"]),
        (["--space", "lambda", "--set", "teachers.tasks=tracking"], ["teachers.tasks = tracking", "needs two or more"]),
        (["--space", "lambda", "--set", "teachers.tasks=sorting+sorting"], ["two teachers are the same"]),
        (["--space", "lambda", "--set", "teachers.tasks=sorting+jigsaw"], ["'jigsaw' is none of sorting, ego_motion"]),
        (["--space", "lambda", "--set", "evaluation.measures=[retrieval]"], ["recipe distillation has no retrieval"]),
        (["--space", "lambda", "--weights", "vgg=file"], ["--weights", "NETWORK=FILE", "alexnet"]),
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


def test_help_names_every_flag_of_the_contract(run: Run) -> None:
    code, output, _ = run("--help")
    assert code == 0
    names = "space table preset data splits stand-in weights set trials seeds search concurrency gpus-per-trial name runs-dir "
    names += "store wandb retry-failed address list plan json"
    assert [name for name in names.split() if f"--{name}" not in output] == []


def test_plan_as_json_counts_and_writes_nothing(run: Run, tmp_path: Path, tiny_values: dict[str, Any]) -> None:
    """Nine configurations of two seeds: seven stages each, none shared."""
    options = ["--trials", "9", "--seeds", "2", "--plan", "--json", *settings(tiny_values)]
    code, output, _ = run("--space", "temperatures", *options)
    assert code == 0
    plan = json.loads(output)
    assert (plan["trials"], plan["stages_to_run"], plan["stages_done"], plan["stages_naive"]) == (18, 126, 0, 126)
    assert 0 < plan["hours_low"] <= plan["hours_expected"]
    assert list(tmp_path.iterdir()) == []


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
        outputs.append(output)
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
