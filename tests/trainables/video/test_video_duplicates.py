"""Duplicates against files that were copied and linked between parts."""

import os
import shutil
from pathlib import Path

import pytest

from trainables.data import describe
from trainables.video.duplicates import Duplicates, duplicates
from trainables.video.inventory import take_inventory
from trainables.video.videos import Video, VideoSet


@pytest.fixture
def videos(tmp_path: Path, write_video) -> VideoSet:
    """Two videos in each part, no two alike."""

    def part(name: str, first: int) -> tuple[Video, ...]:
        paths = [write_video(tmp_path / name / f"{number}.avi", frames=4, seed=first + number) for number in range(2)]
        return tuple(Video(f"{name}/{path.name}", path, 0, path.stem) for path in paths)

    return VideoSet("own", ("a",), part("train", 0), part("validation", 10), part("test", 20))


def test_copies_and_hard_links_between_parts_are_counted_and_named(videos: VideoSet, tmp_path: Path) -> None:
    apart = take_inventory(videos, tmp_path)
    assert duplicates(apart) == Duplicates({}, ()) and describe(apart)["duplicates"] == 0
    shutil.copy(videos.train[1].path, videos.validation[0].path)
    videos.test[1].path.unlink()
    os.link(videos.train[0].path, videos.test[1].path)
    shutil.copy(videos.validation[1].path, videos.test[0].path)
    taken = take_inventory(videos, tmp_path)
    assert duplicates(taken) == Duplicates(
        {("train", "validation"): 1, ("train", "test"): 1, ("validation", "test"): 1},
        (("train/1.avi", "validation/0.avi"), ("train/0.avi", "test/1.avi"), ("validation/1.avi", "test/0.avi")),
    )
    assert describe(taken)["duplicates"] == 2, "validation or test videos that are trained on"
