"""Sets that one process has opened are the same to those that they are handed on to, which look at no list and no video."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainables import data
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings
from trainables.video import handed_on
from trainables.video.handed_on import OpenSets
from trainables.video.videos import PARTS, UNLABELLED, Skipped, Video, VideoSet

VIDEOS = VideoSet(
    dataset="mine",
    classes=("ä", "b"),
    train=(Video("b/\udc80.avi", Path("/data/b/\udc80.avi"), 0, "group", 20, "pyav", (1,), "c" * 32, "s" * 32),),
    validation=(),
    test=(Video("x.avi", Path("/data/x.avi"), UNLABELLED, "x", 3, "decord", (), "d" * 32, ""),),
    missing=2,
    skipped=(Skipped("y.avi", "one frame"),),
    labelled=True,
    notes=("a note", "another"),
)


@pytest.fixture(autouse=True)
def of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handed_on, "LARGE", 1)


def handed(videos: VideoSet, directory: Path) -> OpenSets:
    giving, taking = OpenSets(), OpenSets()
    giving.opened("key", videos)
    taking.take_over(giving.hand_on(directory))
    return taking


def test_a_set_arrives_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    VIDEOS.fingerprint(*PARTS)
    found = handed(VIDEOS, tmp_path).find("key")
    assert found == VIDEOS
    assert found.fingerprints == VIDEOS.fingerprints != {}


def test_a_file_that_is_gone_or_another_counts_for_nothing(tmp_path: Path) -> None:
    taking = handed(VIDEOS, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes().replace(b"x.avi", b"z.avi"))
    assert taking.find("key") is None
    file.unlink()
    assert taking.find("key") is taking.find("another") is None


def test_small_sets_are_not_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handed_on, "LARGE", 3)
    assert handed(VIDEOS, tmp_path).find("key") is None
    assert list(tmp_path.iterdir()) == []


def test_opening_what_was_handed_on_takes_no_inventory(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The set is the one that would be opened, by the settings and the place that a worker is given."""
    giving, taking = OpenSets(), OpenSets()
    monkeypatch.setattr(data, "OPEN_SETS", giving)
    forget()
    opened = data.open_data(tiny.data, runtime())
    taking.take_over(giving.hand_on(tmp_path))
    monkeypatch.setattr(data, "OPEN_SETS", taking)
    monkeypatch.setattr(data, "take_inventory", never)
    forget()
    there = Runtime.from_config(runtime().as_config())
    settings = ExperimentSettings.model_validate(tiny.model_dump())
    assert data.open_data(settings.data, there) == opened
    forget()


def forget() -> None:
    """What this process has opened."""
    data._by_role.cache_clear()
    data._open.cache_clear()


def never(*_: Any, **__: Any) -> VideoSet:
    raise AssertionError("an inventory was taken")
