"""TensorBoard's files, read back: the same numbers as were told, over the epochs of their stage, and nothing twice."""

from __future__ import annotations

import io
import math
import os
import signal
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tensorboardX.proto.event_pb2 import Event

from harness import event_files
from harness.event_files import EventFiles, folder
from harness.tracking import Tracker
from trainables.store import Store, Workplace


@dataclass
class Written:
    """What the event files of a folder say."""

    scalars: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    images: dict[str, Image.Image] = field(default_factory=dict)


def read_events(directory: Path) -> Written:
    """TFRecords: length (8 bytes), its checksum (4), an event, its checksum (4)."""
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    found = Written()
    (path,) = directory.glob("events.out.tfevents.*")
    content, position = path.read_bytes(), 0
    while position < len(content):
        (length,) = struct.unpack_from("<Q", content, position)
        event = Event.FromString(content[position + 12 : position + 12 + length])
        position += 12 + length + 4
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.scalars.setdefault(value.tag, []).append((event.step, value.simple_value))
            elif value.HasField("image"):
                found.images[value.tag] = Image.open(io.BytesIO(value.image.encoded_image_string))
            elif value.metadata.plugin_data.plugin_name == "text":
                found.texts[value.tag.removesuffix("/text_summary")] = value.tensor.string_val[0].decode()
            elif value.metadata.plugin_data.plugin_name == "hparams":
                start = HParamsPluginData.FromString(value.metadata.plugin_data.content).session_start_info
                for name, one in start.hparams.items():
                    found.settings[name] = getattr(one, one.WhichOneof("kind"))
    return found


def to_files(directory: Path, warnings: list[str]) -> tuple[Tracker, EventFiles]:
    files = EventFiles(directory, "sweep", warnings.append)
    return Tracker([files]), files


CONFIG = {"auxskd.epochs": 3, "recipe": "a|b", "compute.compile": False, "row": None}


def test_files_hold_what_was_told(tmp_path: Path) -> None:
    """Each metric over the epochs of its own stage; what no epoch had once; the config, to be compared by."""
    warnings: list[str] = []
    tracker, files = to_files(tmp_path, warnings)
    for trial, name in (("a", "0.02 / 0.02 seed 0"), ("b", "../x")):
        tracker.start(trial, name, CONFIG, ["demo"], ["auxskd.epochs", "compute.compile", "row"])
        tracker.epoch(trial, "pretext", 1, {"pretext/loss": 3.0})
        tracker.replay(trial, "pretext", {"pretext/loss": [3.0, math.nan], "pretext/learning_rate": [0.25, 0.125]})
        tracker.replay(trial, "finetune/ucf101", {"finetune/loss/ucf101": [1.0]})
        tracker.finish(trial, "complete", {"pretext/loss": 2.0, "test/top1": 0.5})
        tracker.epoch(trial, "finetune/ucf101", 2, {"finetune/loss/ucf101": 0.5})  # too late: ignored
    tracker.close(60)
    assert warnings == []
    assert f"tensorboard --logdir {tmp_path / 'tensorboard'}" in files.description
    assert sorted(path.name for path in files.directory.iterdir() if path.is_dir()) == ["0.02-0.02-seed-0-a", "x-b"]
    for name in ("0.02-0.02-seed-0-a", "x-b"):
        found = read_events(files.directory / name)
        assert found.scalars.pop("pretext/loss") == [(1, 3.0), (2, pytest.approx(math.nan, nan_ok=True))]
        assert found.scalars == {
            "pretext/learning_rate": [(2, 0.125)],
            "finetune/loss/ucf101": [(1, 1.0)],
            "test/top1": [(0, 0.5)],
        }
        assert found.texts["outcome"] == "complete"
        assert "| recipe | a\\|b |" in found.texts["config"]
        assert found.settings == {"auxskd.epochs": 3, "compute.compile": False, "row": "None"}


def test_pictures_and_tables_are_shown(tmp_path: Path) -> None:
    """A sample's clip, what the network took test videos for, and a sweep's leaderboard, in a run of its own."""
    warnings: list[str] = []
    tracker, files = to_files(tmp_path, warnings)
    pictures = {"samples": torch.full((1, 1, 2, 4, 4, 3), 200, dtype=torch.uint8)}
    confusion = {"classes": ["a", "b"], "test": [[1, 0], [0, 1]]}
    workplace = Workplace(Store(tmp_path / "store"), "pretext", "key")
    made = workplace.publish(settings={}, metrics={}, tensors={"pictures": pictures}, files={"confusion.json": confusion})
    tracker.start("a", "a", CONFIG)
    tracker.finish("a", "complete", {"test/top1": 0.5}, {"recipe": "scratch"}, {"pretext": made.directory})
    table = {"columns": ["row", "validation/top1"], "rows": [["a|b", 0.5]]}
    tracker.conclude("mine", {"tables": {"leaderboard": table}, "summary": {"best": "a|b", "trials": 1}})
    tracker.close(60)
    assert warnings == []
    found = read_events(files.directory / "a-a")
    assert {name: image.size for name, image in found.images.items()} == {
        "pretext/samples": (8, 4),
        "pretext/confusion": (256, 256),
    }
    assert found.images["pretext/samples"].getpixel((0, 0)) == (200, 200, 200)
    assert found.texts["recipe"] == "scratch"
    of_sweep = read_events(files.directory / "mine")
    assert of_sweep.texts["leaderboard"].splitlines() == ["| row | validation/top1 |", "| --- | --- |", "| a\\|b | 0.5 |"]
    assert of_sweep.scalars == {"trials": [(0, 1.0)]}


@pytest.mark.slow
def test_a_run_that_goes_on_is_whole_and_in_one_file(tmp_path: Path) -> None:
    """After a kill of what writes it, which is replaced, and after one of the sweep, which tells again what it finds."""
    warnings: list[str] = []
    tracker, files = to_files(tmp_path, warnings)
    tracker.start("a", "first", CONFIG)
    tracker.epoch("a", "pretext", 1, {"pretext/loss": 3.0})
    place = files.directory / folder("first", "a")
    end = time.monotonic() + 30
    while not (place.is_dir() and read_events(place).scalars):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert files.child
    os.kill(files.child.pid, signal.SIGKILL)
    tracker.epoch("a", "pretext", 2, {"pretext/loss": 2.0})
    tracker.finish("a", "interrupted", {})
    tracker.close(60)
    assert len(warnings) == 1 and "TensorBoard process was killed (signal 9)" in warnings[0]
    assert read_events(place).scalars == {"pretext/loss": [(1, 3.0), (2, 2.0)]}

    tracker, _ = to_files(tmp_path, warnings)
    tracker.start("a", "first", CONFIG)
    tracker.replay("a", "pretext", {"pretext/loss": [3.0, 2.0, 1.0]})
    tracker.finish("a", "complete", {})
    tracker.close(60)
    assert read_events(place).scalars == {"pretext/loss": [(1, 3.0), (2, 2.0), (3, 1.0)]}
    assert len(warnings) == 1


def test_what_cannot_be_written_costs_one_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    warnings: list[str] = []
    tracker, _ = to_files(tmp_path / "file", warnings)
    tracker.start("a", "a", {})
    tracker.epoch("a", "pretext", 1, {"pretext/loss": 1.0})
    tracker.close(5)
    assert len(warnings) == 1 and "TensorBoard is off" in warnings[0]


def test_whether_it_is_installed_is_asked_without_importing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert EventFiles.can_be_written()
    monkeypatch.setattr(event_files, "WRITER", "no_such_package")
    assert not EventFiles.can_be_written()
