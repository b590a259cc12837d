"""Networks taken out and brought back in: an export in an environment of torch, numpy and safetensors alone; what `predict` and
`features` say against what the trial's own stages said, to the bit; and what is refused."""

from __future__ import annotations

import csv
import importlib.metadata
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
import typer
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from harness import export, features, predict
from harness.ledger import Ledger
from harness.request import settings_of_weights, weights_files
from tests.harness.test_ledger import record
from trainables import inference
from trainables.data import describe, open_data
from trainables.exported import ExportError, Seeing, network_of, read_model, torchvisions_name
from trainables.pipeline import Experiment, Result, run_experiment
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, flat, with_values

Call = Callable[..., tuple[int, str]]
TRIALS = {
    "backbone": {"recipe": "pretext", "evaluation.measures": ["finetune", "linear_probe"]},
    "student": {"recipe": "student", "evaluation.measures": ["finetune"], "student.epochs": 1},
}


@pytest.fixture(scope="module")
def swept(
    tiny: ExperimentSettings, tiny_graph: ExperimentSettings, clips: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Result]]:
    """A directory of sweeps with a trial of each paper, and what they gave."""
    runs = tmp_path_factory.mktemp("export") / "runs"
    (runs / "swept").mkdir(parents=True)
    results = {}
    for index, (name, values) in enumerate(TRIALS.items()):
        settings = with_values(tiny if name == "backbone" else tiny_graph, values)
        place = Runtime(store=runs / "store", cache=clips, device="cpu")
        results[name] = run_experiment(Experiment(settings, 0), place, lambda line: None)
        data = {role: describe(videos) for role, videos in open_data(settings.data, place).items()}
        made = {"stages": results[name].stages, "metrics": results[name].metrics, "settings": flat(settings), "data": data}
        Ledger(runs / "swept").append(record(name, index=index, parameters={"recipe": name}, **made))
    Ledger(runs / "swept").append(record("failed", index=9, outcome="failed", reason="pretext: collapsed", stages={}))
    return runs, results


@pytest.fixture
def call(swept: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls one of the commands; gives exit code, and output and errors."""

    def run(app: typer.Typer, *arguments: object) -> tuple[int, str]:
        runs = ["--runs-dir", str(swept[0])] if app is export.app else []
        with pytest.raises(SystemExit) as ended:
            app([*map(str, arguments), *runs])
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out + " ".join(output.err.split())

    for module in (export, features):
        monkeypatch.setattr(module, "console", Console(width=200, emoji=False))
    return run


@pytest.fixture(scope="module")
def exported(swept: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "out"
    with pytest.raises(SystemExit) as ended:
        export.app(["backbone", str(path), "--runs-dir", str(swept[0])])
    assert not ended.value.code
    return path


@pytest.fixture
def out(exported: Path, tmp_path: Path) -> Path:
    """An export of the first trial, for a test of its own."""
    return Path(shutil.copytree(exported, tmp_path / "out"))


def needed(name: str) -> Iterator[importlib.metadata.Distribution]:
    """A distribution and those that it needs, whatever extras it may have."""
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:  # of another system
        return
    yield found
    for requirement in found.requires or ():
        if "extra ==" not in requirement:
            yield from needed(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An import path of torch, numpy and safetensors, and what these need."""
    path = tmp_path_factory.mktemp("bare")
    for name in ("torch", "numpy", "safetensors"):
        for distribution in needed(name):
            for top in {Path(file).parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
                source = Path(str(distribution.locate_file(top)))
                if source.exists() and not (path / top).exists():
                    (path / top).symlink_to(source)
    return path


@pytest.mark.slow
def test_the_loader_needs_torch_and_safetensors_alone_and_gives_the_same_logits(out: Path, bare: Path, tmp_path: Path) -> None:
    """Of bytes, in a process that cannot import this program, nor pydantic or Ray; also of more clips than it was made with."""
    model = read_model(out)
    video = model.settings.video
    shown = torch.randint(0, 256, (5, video.clip_frames, video.crop, video.crop, 3), dtype=torch.uint8)
    with torch.no_grad():
        expected = Seeing(model.network, video.pixels)(shown)
    save_file({"clips": shown}, tmp_path / "clips.safetensors")
    code = f"""
import importlib.util, sys
sys.path[:0] = [{str(bare)!r}, {str(out)!r}]
assert not any(map(importlib.util.find_spec, ("trainables", "harness", "pydantic", "ray", "yaml")))
from loader import logits
from safetensors.torch import load_file, save_file
clips = load_file({str(tmp_path / "clips.safetensors")!r})["clips"]
save_file({{"logits": logits(clips)}}, {str(tmp_path / "said.safetensors")!r})
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = load_file(tmp_path / "said.safetensors")["logits"]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert len((out / "loader.py").read_text().splitlines()) <= 20


def test_what_is_written_says_what_it_is(out: Path, swept: tuple[Path, dict[str, Result]]) -> None:
    about, result = json.loads((out / "model.json").read_text()), swept[1]["backbone"]
    assert about["metrics"] == result.metrics
    assert about["trial"]["key"] == result.stages["finetune"]
    assert (about["network"], about["pixels"], about["licence_of_data"]) == ("r2plus1d", "rgb_normalised", "unknown")
    assert about["clip"] == {"frames": 8, "height": 16, "width": 16, "crop": 12}
    assert about["classes"] == ["slides", "rises", "falls", "spins", "breathes", "orbits"]
    with safe_open(out / "weights.safetensors", "pt") as file:
        names = set(file.keys())
    assert {"stem.0.weight", "layer1.0.conv1.0.0.weight", "layer4.0.downsample.0.weight", "fc.weight", "fc.bias"} <= names
    card = (out / "README.md").read_text()
    assert f"| top-1, test videos | {100 * result.metrics['test/top1']:.1f} |" in card
    assert "Licence of the data: unknown" in card and "slides, rises" in card
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md",
        "loader.py",
        "model.json",
        "network.pt2",
        "weights.safetensors",
    ]


def test_back_in_it_measures_the_same_to_the_bit(
    out: Path, swept: tuple[Path, dict[str, Result]], runtime: Callable[..., Runtime], tiny: ExperimentSettings
) -> None:
    """By the directory, at settings that are those of the weights; and its convolutions as a start are those of the trial."""
    files = weights_files([f"r2plus1d={out}"], out, out)
    belongs = settings_of_weights(files)
    assert belongs["video.pixels"] == "rgb_normalised" and belongs["backbone.depth"] == 10
    values = {**belongs, "recipe": "imported", "evaluation.measures": ["as_given"]}
    again = run_experiment(Experiment(with_values(tiny, values), 0), runtime(weights=files), lambda line: None)
    own = swept[1]["backbone"].metrics
    assert {"test/top1", "test/top5", "test/map"} <= again.metrics.keys()
    assert again.metrics == {name: own[name] for name in again.metrics}


def embedded(settings: ExperimentSettings, clips: Path, part: str) -> list[Any]:
    data = open_data(settings.data, Runtime(store=clips, cache=clips, device="cpu"))
    return list(data["downstream"].part(part))


def test_predict_says_of_test_videos_what_the_trial_s_evaluation_said(
    out: Path, call: Call, swept: tuple[Path, dict[str, Result]], tiny: ExperimentSettings, clips: Path, tmp_path: Path
) -> None:
    runs, results = swept
    evaluated = runs / "store" / "evaluate" / results["backbone"].stages["evaluate"] / "videos.json"
    said, videos = json.loads(evaluated.read_text()), embedded(tiny, clips, "test")
    code, text = call(predict.app, out, *(video.path for video in videos))
    assert code == 0, text
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == 5 * len(videos)
    best = [row for row in rows if row["rank"] == "1"]
    assert [row["class"] for row in best] == [said["classes"][number] for number in said["test"]["predicted"]]
    assert [float(row["score"]) for row in best] == said["test"]["score"]
    (tmp_path / "text.mp4").write_text("no video")
    to = tmp_path / "said.json"
    code, text = call(predict.app, out, videos[0].path, tmp_path / "text.mp4", "--out", to, "--top", 6)
    assert code == 1
    assert "text.mp4 is no video that can be read" in text
    (entry,) = json.loads(to.read_text())
    assert entry["video"] == str(videos[0].path)
    assert [one["class"] for one in entry["classes"][:5]] == [row["class"] for row in rows[:5]]
    assert sum(one["score"] for one in entry["classes"]) == pytest.approx(1, abs=1e-4)


def test_features_are_those_that_the_trial_s_probe_saw(
    call: Call, swept: tuple[Path, dict[str, Result]], tiny: ExperimentSettings, clips: Path, tmp_path: Path
) -> None:
    code, said = call(export.app, "backbone/pretext", tmp_path / "out")
    assert code == 0, said
    assert "gives features, and has no last layer" in (tmp_path / "out" / "README.md").read_text()
    videos = embedded(tiny, clips, "test")
    (tmp_path / "videos" / "more").mkdir(parents=True)
    for number, video in enumerate(videos):
        shutil.copy(video.path, tmp_path / "videos" / ("more" if number % 2 else "") / f"{number:02}{video.path.suffix}")
    code, said = call(features.app, tmp_path / "out", tmp_path / "videos", "--to", tmp_path / "features")
    assert code == 0, said
    found = load_file(tmp_path / "features" / "features.safetensors")["features"]
    with (tmp_path / "features" / "features.csv").open() as file:
        rows = list(csv.DictReader(file))
    numbers = [int(Path(row["video"]).stem) for row in rows]
    assert sorted(numbers) == list(range(len(videos)))
    runs, results = swept
    kept = load_file(runs / "store" / "features" / results["backbone"].stages["features"] / "features.safetensors")["test"]
    assert torch.equal(found, kept[numbers])
    code, said = call(predict.app, tmp_path / "out", videos[0].path)
    assert code == 2 and "gives features, and knows no classes" in said


def test_a_student_is_exported_too(call: Call, tmp_path: Path) -> None:
    code, said = call(export.app, "student", tmp_path / "out")
    assert code == 0, said
    model = read_model(tmp_path / "out")
    assert model.family == "alexnet" and "classifier.6.weight" in model.network.state_dict()
    assert "torchvision has no network of this form" in (tmp_path / "out" / "README.md").read_text()


def test_a_network_from_a_file_is_exported_with_its_own_last_layer(
    tiny: ExperimentSettings, clips: Path, swept: tuple[Path, dict[str, Result]], call: Call, tmp_path: Path
) -> None:
    """The same as the trial that the file is of."""
    runs, results = swept
    weights = runs / "store" / "finetune" / results["backbone"].stages["finetune"] / "weights.safetensors"
    settings = with_values(tiny, {"recipe": "imported", "evaluation.measures": ["as_given"]})
    place = Runtime(store=runs / "store", cache=clips, device="cpu", weights=(("r2plus1d", weights),))
    result = run_experiment(Experiment(settings, 0), place, lambda line: None)
    data = {role: describe(videos) for role, videos in open_data(settings.data, place).items()}
    made = {"stages": result.stages, "metrics": result.metrics, "settings": flat(settings), "data": data}
    Ledger(runs / "swept").append(record("given", index=5, parameters={"recipe": "imported"}, **made))
    for trial, out in (("given", "whole"), ("backbone", "own")):
        code, said = call(export.app, trial, tmp_path / out)
        assert code == 0, said
    whole, own = (load_file(tmp_path / out / "weights.safetensors") for out in ("whole", "own"))
    assert whole.keys() == own.keys() and all(torch.equal(whole[name], own[name]) for name in own)
    about = [json.loads((tmp_path / out / "model.json").read_text()) for out in ("whole", "own")]
    assert about[0]["classes"] == about[1]["classes"] and about[0]["trial"]["stage"] == "imported_classifier"
    assert "| top-1" in (tmp_path / "whole" / "README.md").read_text()
    with pytest.raises(ExportError, match="that --weights vgg=FILE gave: that file has all of the network"):
        network_of("imported_vgg")


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("backbone", {}, "torchvision.models.video.r2plus1d_18"),
        ("backbone", {"backbone.family": "r3d"}, "torchvision.models.video.r3d_18"),
        ("backbone", {"backbone.width": 32}, None),
        ("backbone", {"backbone.family": "c3d"}, None),
        ("alexnet", {"alexnet.dropout": 0.1}, "torchvision.models.alexnet"),
        ("alexnet", {"alexnet.batch_norm": True}, None),
    ],
)
def test_torchvision_s_function_is_named_where_it_makes_the_network(
    name: str, values: dict[str, Any], expected: str | None, out: Path
) -> None:
    model = read_model(out)
    other = type(model)(name, model.network, with_values(ExperimentSettings(), values), model.classes, {})
    assert torchvisions_name(other) == expected


@pytest.mark.parametrize(
    ("trial", "says"),
    [
        ("failed", r"trial failed of sweep 'swept' is failed \(pretext: collapsed\)"),
        ("nothing", r"no trial 'nothing' is on record below"),
        ("best-of:nothing", r"no sweep 'nothing' below .*there are: swept"),
        ("backbone/evaluate", r"stage evaluate leaves no network"),
        ("backbone/pretexts", r"has no stage 'pretexts'; did you mean 'pretext'\?"),
    ],
)
def test_what_cannot_be_exported_is_refused_and_nothing_is_written(trial: str, says: str, call: Call, tmp_path: Path) -> None:
    code, said = call(export.app, trial, tmp_path / "out")
    assert code == 2
    assert re.search(says, said), said
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_is_there_is_not_written_over(out: Path, call: Call) -> None:
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    code, said = call(export.app, "student", out)
    assert code == 2 and "is there already; name a new directory" in said
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def changed(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda out: half(out / "weights.safetensors"), r"weights\.safetensors: not readable as a file of weights"),
        (lambda out: half(out / "model.json"), r"is no exported network: model\.json"),
        (lambda out: (out / "weights.safetensors").unlink(), r"weights\.safetensors: not readable as a file of weights"),
        (lambda out: changed(out / "model.json", classes=["a", "b"]), r"'fc\.bias' is \(6,\), expected \(2,\)"),
        (lambda out: changed(out / "model.json", format=99), r"written by a newer version"),
        (lambda out: changed(out / "model.json", settings={"nothing": 1}), r"unknown setting 'nothing'"),
    ],
)
def test_a_directory_that_is_no_whole_export_is_refused(
    damage: Callable[[Path], None], says: str, out: Path, call: Call, tmp_path: Path
) -> None:
    damage(out)
    code, said = call(predict.app, out, tmp_path / "a.mp4")
    assert code == 2
    assert re.search(says, said), said


def test_what_is_no_video_is_one_line_and_exit_code_2(out: Path, call: Call, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty").mkdir()
    code, said = call(predict.app, out, tmp_path / "text.mp4")
    assert code == 2 and "text.mp4 is no video that can be read: not a readable video" in said
    for directory, why in ((tmp_path / "empty", "there is no video in it"), (tmp_path / "gone", "there is no such directory")):
        code, said = call(features.app, out, directory)
        assert code == 2 and why in said
    code, said = call(predict.app, out, tmp_path / "text.mp4", "--out", tmp_path / "said.xml")
    assert code == 2 and "one of csv, json" in said


def test_names_and_places_that_cannot_be_written_are_said_before_the_work(
    out: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No video is looked at for a file that cannot be written; of videos one whose name is not UTF-8 counts as not read."""
    strange = tmp_path / os.fsdecode(b"caf\xe9.avi")
    strange.write_bytes(b"")
    looked: list[object] = []
    monkeypatch.setattr(inference, "open_video", looked.append)
    for app, place, says in (
        (predict.app, ("--out", tmp_path / "gone" / "said.csv"), "said.csv cannot be written: there is no directory"),
        (predict.app, ("--out", tmp_path, "--format", "csv"), "cannot be written: that is a directory"),
        (features.app, ("--to", strange), "File exists"),
    ):
        code, said = call(app, out, tmp_path, *place)
        assert code == 2 and says in said, said
    code, said = call(features.app, out, tmp_path, "--to", tmp_path / "to")
    assert code == 2 and r"caf\udce9.avi: its name is not in UTF-8; rename it" in said, said
    assert not looked
