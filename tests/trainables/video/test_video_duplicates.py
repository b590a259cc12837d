"""Duplicates against files that were copied, linked and put into other containers between parts."""

import os
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from trainables.data import describe
from trainables.video.decoding import probe
from trainables.video.duplicates import Duplicates, duplicates, said_of_duplicates
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
    assert duplicates(apart) == Duplicates({}, {}, ()) and describe(apart)["duplicates"] == 0
    shutil.copy(videos.train[1].path, videos.validation[0].path)
    videos.test[1].path.unlink()
    os.link(videos.train[0].path, videos.test[1].path)
    shutil.copy(videos.validation[1].path, videos.test[0].path)
    taken = take_inventory(videos, tmp_path)
    assert duplicates(taken) == Duplicates(
        {("train", "validation"): 1, ("train", "test"): 1, ("validation", "test"): 1},
        {("train", "validation"): 1, ("train", "test"): 1, ("validation", "test"): 1},
        (("train/1.avi", "validation/0.avi"), ("train/0.avi", "test/1.avi"), ("validation/1.avi", "test/0.avi")),
    )
    assert describe(taken)["duplicates"] == 2, "validation or test videos that are trained on"


def remuxed(source: Path, path: Path) -> Path:
    """The same packets in another container."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return path


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_the_same_frames_in_other_bytes_are_counted(videos: VideoSet, tmp_path: Path, write_video, codec: str) -> None:
    """In another container, with bytes appended, and as images; encoded once more, or cut shorter, it is another video."""
    source = write_video(videos.train[0].path.with_suffix(".mp4"), frames=20, codec=codec)
    other = remuxed(source, videos.test[0].path.with_suffix(".mkv"))
    padded = videos.test[0].path.with_name("padded.mp4")
    padded.write_bytes(source.read_bytes() + bytes(100))
    images = videos.validation[0].path.with_name("images")
    images.mkdir()
    with av.open(str(source)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            height, width = frame.height, frame.width
            rows = frame.to_ndarray(format="bgr24")[::-1]
            head = b"BM" + np.array([54 + rows.nbytes, 0, 54, 40, width, height], "<u4").tobytes()
            rest = np.array([1, 24], "<u2").tobytes() + np.array([0, rows.nbytes, 0, 0, 0, 0], "<u4").tobytes()
            (images / f"{number}.bmp").write_bytes(head + rest + rows.tobytes())
    again = write_video(videos.test[0].path.with_name("again.mp4"), frames=20, codec=codec, gop=3)
    shorter = write_video(videos.test[0].path.with_name("shorter.mp4"), frames=19, codec=codec)
    assert len({path.read_bytes() for path in (source, other, padded, again, shorter)}) == 5
    parts = {"train": [source], "validation": [images], "test": [other, padded, again, shorter]}
    made = {part: tuple(Video(path.name, path, 0, path.name) for path in paths) for part, paths in parts.items()}
    taken = take_inventory(VideoSet("own", ("a",), **made), tmp_path)
    found = duplicates(taken)
    assert found.counts == {("train", "validation"): 1, ("train", "test"): 2, ("validation", "test"): 2}
    assert set(found.bytes.values()) == {0}
    assert (
        said_of_duplicates(taken)[1] == "2 of 4 test videos are also in train, 2 in other bytes that decode to the same frames"
    )
    assert describe(taken)["duplicates"] == 3
    assert probe(again).frames == 20 and probe(shorter).frames == 19
