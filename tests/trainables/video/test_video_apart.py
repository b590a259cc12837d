"""Decoding in another process against decoding in this one, on real, damaged and difficult files; and how that process ends."""

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset

from harness.executor import how_it_failed
from trainables.video import apart, decoding, sequence
from trainables.video.cache import FrameCache
from trainables.video.decoding import decode, read_frames
from trainables.video.inventory import take_inventory
from trainables.video.pixels import DecodingError, converter
from trainables.video.sequence import Timeline
from trainables.video.videos import Video, VideoSet

SIZE = (36, 48)
CLIPS = os.environ.get("AUXGRAPH_CLIPS")


@pytest.fixture
def all_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence, "_APART", -1)


def spoiled(path: Path, *parts: tuple[float, float]) -> Path:
    """Noise in the parts of a file between fractions of its length."""
    content = bytearray(path.read_bytes())
    for start, end in parts:
        first, last = int(start * len(content)), int(end * len(content))
        content[first:last] = np.random.default_rng(0).bytes(last - first)
    path.write_bytes(bytes(content))
    return path


def seen(path: Path) -> tuple[Any, ...]:
    """What is found of a file: by a look at its ends and by all of it; frames by seeks and all, or the reason why not."""
    try:
        timeline = Timeline(path)
        whole = decoding._probe_all(path, timeline, "pyav")
        last = whole.frames - 1
        read = [decode(path, places, SIZE) for places in (range(whole.frames), [last // 2, last])]
        return whole, decoding._probe_sound(path, timeline, "frames"), [[part.tolist() for part in one] for one in read]
    except DecodingError as error:
        return (str(error),)


_BEFORE: set[int] = set()
"""Processes that other tests left to this one's process."""


@pytest.fixture(autouse=True)
def others() -> None:
    _BEFORE.clear()
    _BEFORE.update(children())


def children() -> list[int]:
    """The processes that this test has started and not waited for, dead ones among them."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = status.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(words[1]) == os.getpid() and int(status.parent.name) not in _BEFORE:
            found.append(int(status.parent.name))
    return found


def files(directory: Path, write_video) -> Iterator[Path]:
    """Sound, with B-frames, open groups and seeks; damaged in the middle, at the end and all over; cut off."""
    kinds: dict[str, dict[str, Any]] = {
        "open.avi": {"b_frames": 2, "gop": 12, "height": 46, "width": 62},
        "a.mp4": {"codec": "libx264", "b_frames": 3, "gop": 15},
        "deep.mp4": {"codec": "libx265", "b_frames": 3, "gop": 20, "options": {"x265-params": "log-level=none"}},
    }
    for name, how in kinds.items():
        yield write_video(directory / name, frames=45, **how)
    yield spoiled(write_video(directory / "middle.avi", frames=45, gop=15), (0.4, 0.42), (0.7, 0.72))
    yield spoiled(write_video(directory / "middle.mp4", frames=45, codec="libx264", b_frames=3, gop=15), (0.4, 0.45))
    yield spoiled(write_video(directory / "end.avi", frames=45, gop=15), (0.9, 0.99))
    yield spoiled(write_video(directory / "all.avi"), (0.3, 0.9))
    cut = write_video(directory / "cut.avi", frames=45)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    yield cut
    if CLIPS is not None:
        yield sorted(Path(CLIPS).glob("originals/*/*.avi"))[0]


@pytest.mark.slow
def test_frames_and_what_is_found_are_those_of_this_process(tmp_path: Path, write_video, monkeypatch) -> None:
    outcomes = set()
    for path in files(tmp_path, write_video):
        monkeypatch.setattr(sequence, "_APART", 10**9)
        expected = seen(path)
        monkeypatch.setattr(sequence, "_APART", -1)
        assert seen(path) == expected, path.name
        outcomes.add((len(expected), len(expected) > 1 and any(expected[2][0][1])))
    assert {(3, False), (3, True)} <= outcomes, "with stand-ins and without"
    assert children() == []


def test_it_is_the_frames_bytes_that_decide(tmp_path: Path, write_video, monkeypatch) -> None:
    path = write_video(tmp_path / "a.avi")
    started = []
    monkeypatch.setattr(apart.subprocess, "Popen", lambda *_, **__: started.append(1) or 1 / 0)
    assert Timeline(path).bytes == 48 * 64 * 3 // 2
    monkeypatch.setattr(sequence, "_APART", 48 * 64 * 3 // 2)
    read_frames(path, [0], SIZE)
    monkeypatch.setattr(sequence, "_APART", 48 * 64 * 3 // 2 - 1)
    with pytest.raises(ZeroDivisionError):
        read_frames(path, [0], SIZE)
    assert started == [1]


def test_errors_are_those_of_this_process(tmp_path: Path, write_video, all_apart, monkeypatch) -> None:
    path = write_video(tmp_path / "a.avi")
    timeline = Timeline(path)
    with pytest.raises(IndexError, match="frame 24 of a video of 24 frames"):
        read_frames(path, [24], SIZE)
    with pytest.raises(ZeroDivisionError):
        next(sequence.sound_frames(path, timeline, lambda place, frame: 1 / 0))
    path.write_bytes(b"no video")
    with pytest.raises(DecodingError, match="not a readable video"):
        list(sequence.sound_frames(path, timeline, lambda place, frame: place))
    assert children() == []


def test_a_reader_that_leaves_half_way_leaves_nothing(tmp_path: Path, write_video, all_apart) -> None:
    path = write_video(tmp_path / "a.avi")
    frames = sequence.sound_frames(path, Timeline(path), lambda place, frame: place)
    next(frames)
    (started,) = children()
    frames.close()
    assert children() == [] and not Path(f"/proc/{started}").exists()


def test_a_process_that_dies_is_told(tmp_path: Path, write_video, all_apart) -> None:
    """While data are opened it hinders a trial; of a video that could be read then the trial fails, and others go on."""
    path = write_video(tmp_path / "a.avi")

    def take(place: int, frame: Any) -> None:
        if place == 5:
            os.kill(children()[0], signal.SIGKILL)

    with pytest.raises(OSError, match=r"the process that decodes .*a\.avi has ended, with exit code -9") as died:
        list(sequence.sound_frames(path, Timeline(path), take))
    assert children() == []
    assert [how_it_failed(died.value, begun)["outcome"] for begun in (False, True)] == ["hindered", "failed"]


def test_of_a_video_whose_process_died_nothing_is_concluded(tmp_path: Path, write_video, all_apart, monkeypatch) -> None:
    """Opening its set says so, and it is read anew the next time; the cache goes on to store, and keeps nothing of it."""
    videos = [Video(name, write_video(tmp_path / f"{name}.avi"), 0, name) for name in "ab"]
    some = VideoSet("some", ("first",), tuple(videos), (), ())
    decoding.probe(videos[1].path)
    start = apart._START
    monkeypatch.setattr(apart, "_START", "import os; os._exit(7)")
    with pytest.raises(apart.DecoderDied, match=r"a\.avi has ended, with exit code 7"):
        take_inventory(some, tmp_path)
    cache, video = FrameCache(tmp_path / "cache", 2**30), replace(videos[0], frames=24, decoder="pyav")
    with warnings.catch_warnings(), pytest.raises(apart.DecoderDied, match="exit code 7"):
        warnings.simplefilter("error")
        cache.read(video, [0], SIZE)
    monkeypatch.setattr(apart, "_START", start)
    assert [one.frames for one in take_inventory(some, tmp_path).train] == [24, 24]
    cache.read(video, [0], SIZE)
    assert list((tmp_path / "cache").iterdir())


@pytest.mark.slow
def test_it_ends_with_its_parent_and_has_no_torch(tmp_path: Path, write_video) -> None:
    """Killed in the middle of a frame, while a process that it forked keeps the connection open."""
    path = write_video(tmp_path / "a.avi")
    program = f"""
import os, time
from pathlib import Path
from trainables.video import sequence
sequence._APART = -1
frames = sequence.sound_frames(Path({str(path)!r}), sequence.Timeline(Path({str(path)!r})), lambda place, frame: place)
next(frames)
children = [int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]
if (forked := os.fork()) == 0:
    time.sleep(60)
print(*children, forked, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as parent:
        assert parent.stdout is not None
        started, forked = map(int, parent.stdout.readline().split())
        assert "torch" not in Path(f"/proc/{started}/maps").read_text() and "libav" in Path(f"/proc/{started}/maps").read_text()
        parent.kill()
        try:
            deadline = time.monotonic() + 10
            while is_alive(started) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert not is_alive(started) and is_alive(forked)
        finally:
            os.kill(forked, signal.SIGKILL)


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Frames(Dataset[Any]):
    def __init__(self, path: Path) -> None:
        self.path = path

    def __len__(self) -> int:
        return 4

    def __getitem__(self, place: int) -> Any:
        return read_frames(self.path, [5 * place], SIZE).pixels


@pytest.mark.slow
def test_loader_processes_and_threads_may_read(tmp_path: Path, write_video, monkeypatch) -> None:
    path = write_video(tmp_path / "a.mp4", codec="libx264", b_frames=2)
    expected = read_frames(path, range(0, 20, 5), SIZE).pixels
    monkeypatch.setattr(sequence, "_APART", -1)
    loaded = np.concatenate([batch.numpy()[0] for batch in DataLoader(Frames(path), num_workers=2)])
    with ThreadPoolExecutor(4) as pool:
        read = np.concatenate(list(pool.map(Frames(path).__getitem__, range(4))))
    assert np.array_equal(loaded, expected) and np.array_equal(read, expected)
    assert children() == []


@pytest.mark.parametrize(
    "pixels", ["yuv420p", "yuvj420p", "yuv420p10le", "yuv422p10le", "yuv444p12le", "nv12", "rgb24", "pal8"]
)
def test_rows_are_those_of_the_whole_frame(pixels: str, monkeypatch) -> None:
    """Of noise, wherever chroma is sited, also interlaced; heights of which the parts would differ are not divided."""
    monkeypatch.setattr(apart, "_ROWS", 64)
    chance, convert = np.random.default_rng(0), converter()
    divided = 0
    for height, width in ((240, 320), (242, 322), (241, 321)):
        noise = av.VideoFrame(width, height, pixels)
        for plane in noise.planes:
            plane.update(chance.bytes(plane.buffer_size))
        for chroma in ("unspecified", "left", "topleft", "bottomleft"):
            for mode in ("prog", "tff"):
                frame = filtered(noise, "setparams", f"field_mode={mode}:chroma_location={chroma}")
                parts = list(apart._in_parts(frame, (height, width), convert))
                divided += len(parts) > 1
                assert np.array_equal(np.concatenate(parts), convert(frame)), (height, chroma, mode)
        (smaller,) = apart._in_parts(noise, (height // 4, width // 4), convert)
        assert np.array_equal(smaller, convert(noise, height // 4, width // 4))
    assert divided == (8 if pixels.startswith("yuv4") else 0)


def filtered(frame: Any, name: str, how: str) -> Any:
    graph: Any = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1))
    step, sink = graph.add(name, how), graph.add("buffersink")
    source.link_to(step)
    step.link_to(sink)
    graph.configure()
    source.push(frame)
    return sink.pull()
