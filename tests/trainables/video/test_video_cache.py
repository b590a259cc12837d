"""The frame cache against reading without it."""

import errno
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from trainables.video import cache as cache_module
from trainables.video.cache import FrameCache
from trainables.video.decoding import decode, decode_in_order, probe, read_clips, read_frames
from trainables.video.videos import Video

SIZE = (32, 40)
ENTRY = 24 * 32 * 40 * 3


@pytest.fixture
def videos(tmp_path: Path, write_video) -> list[Video]:
    paths = [write_video(tmp_path / "videos" / f"{index}.avi", seed=index) for index in range(4)]
    return [Video(path.name, path, 0, path.stem, probe(path).frames, probe(path).decoder) for path in paths]


def entries(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.npy"))


def count_decoding(monkeypatch) -> list[int]:
    """Of each video decoded from now on, the number of frames asked for."""
    calls: list[int] = []
    for name, original in (("decode_in_order", decode_in_order), ("read_clips", read_clips)):

        def counted(path, indices, *rest, name=name, original=original, **options):
            calls.append(len(indices) if name == "decode_in_order" else len({*np.concatenate(indices)}))
            return original(path, indices, *rest, **options)

        monkeypatch.setattr(cache_module, name, counted)
    return calls


def test_the_same_pixels_with_and_without_the_cache(videos: list[Video], tmp_path: Path) -> None:
    stored, bounded, none = (
        FrameCache(tmp_path / "c", 10**9),
        FrameCache(tmp_path / "d", ENTRY - 1),
        FrameCache(None, 0),
    )
    for video in videos:
        for window in (None, (2, 3, 20, 30)):
            expected = read_frames(video.path, [7, 3, 3, 23], SIZE, window)
            for cache in (stored, stored, bounded, none):
                found = cache.read(video, [7, 3, 3, 23], SIZE, window)
                assert np.array_equal(found.pixels, expected.pixels) and found.replaced == 0
    assert len(entries(tmp_path / "c")) == 4 and entries(tmp_path / "d") == []
    for cache in (stored, bounded):
        for wrong in ([24], [-1], []):
            with pytest.raises(IndexError):
                cache.read(videos[0], wrong, SIZE)


def test_a_video_is_decoded_once_and_beyond_the_bound_only_what_is_needed(
    videos: list[Video], tmp_path: Path, monkeypatch
) -> None:
    calls = count_decoding(monkeypatch)
    cache = FrameCache(tmp_path / "c", 2 * ENTRY + 1000)
    for _ in range(3):
        for video in videos:
            cache.read(video, [1, 2], SIZE)
    assert calls == [24, 24, 2, 2] + [2, 2] * 2
    assert len(entries(tmp_path / "c")) == 2
    calls.clear()
    again = FrameCache(tmp_path / "c", 2 * ENTRY + 1000)
    again.read(videos[0], [1, 2], SIZE)
    assert calls == [], "another process decodes what is on disk"
    again.read(videos[0], [1, 2], (16, 20))
    assert calls == [2], "the size on disk is not counted against the bound"


def test_filling_stores_up_to_the_bound_and_tells_how_far_it_is(videos: list[Video], tmp_path: Path) -> None:
    told = []
    FrameCache(tmp_path / "c", 3 * ENTRY + 1000).fill(videos, SIZE, lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert len(entries(tmp_path / "c")) == 3
    assert sum(path.stat().st_size for path in (tmp_path / "c").glob("*.npy")) <= 3 * ENTRY + 1000


def test_only_entries_that_nobody_touched_for_an_hour_make_room(videos: list[Video], tmp_path: Path) -> None:
    limit = 2 * ENTRY + 1000
    FrameCache(tmp_path / "c", limit).fill(videos[:2], SIZE)
    old, young = entries(tmp_path / "c")
    os.utime(tmp_path / "c" / old, (time.time() - 4000,) * 2)
    FrameCache(tmp_path / "c", limit).fill(videos[2:], SIZE)
    left = entries(tmp_path / "c")
    assert old not in left and young in left and len(left) == 2


def test_using_an_entry_touches_it(videos: list[Video], tmp_path: Path) -> None:
    FrameCache(tmp_path / "c", 10**9).fill(videos[:1], SIZE)
    (entry,) = (tmp_path / "c").glob("*.npy")
    os.utime(entry, (time.time() - 4000,) * 2)
    FrameCache(tmp_path / "c", 10**9).read(videos[0], [0], SIZE)
    assert time.time() - entry.stat().st_mtime < 60


@pytest.mark.parametrize("keep", [0, 60, 128, 5000], ids=["empty", "half a header", "header", "half"])
def test_an_entry_that_was_cut_off_is_written_again(videos: list[Video], tmp_path: Path, keep: int) -> None:
    FrameCache(tmp_path / "c", 10**9).fill(videos[:1], SIZE)
    (entry,) = (tmp_path / "c").glob("*.npy")
    whole = entry.read_bytes()
    entry.write_bytes(whole[:keep])
    found = FrameCache(tmp_path / "c", 10**9).read(videos[0], range(24), SIZE)
    assert np.array_equal(found.pixels, read_frames(videos[0].path, range(24), SIZE).pixels)
    assert entry.read_bytes() == whole


@pytest.mark.parametrize("suffix", [".npy", ".json"])
def test_a_flipped_bit_is_noticed_and_the_video_decoded_again(videos: list[Video], tmp_path: Path, suffix: str) -> None:
    FrameCache(tmp_path / "c", 10**9).fill(videos[:1], SIZE)
    (damaged,) = (tmp_path / "c").glob(f"*{suffix}")
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
    expected = read_frames(videos[0].path, range(24), SIZE).pixels
    cache = FrameCache(tmp_path / "c", 10**9)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert np.array_equal(cache.read(videos[0], range(24), SIZE).pixels, expected)
    assert [f"{damaged} is damaged" in str(warning.message) for warning in caught] == [True] * (suffix == ".npy")
    assert damaged.read_bytes() == whole


def test_a_header_with_a_flipped_bit_is_never_read(videos: list[Video], tmp_path: Path) -> None:
    """A bit of each byte: numpy's own reader fails in ways as different as UnicodeDecodeError and tokenize.TokenError."""
    FrameCache(tmp_path / "c", 10**9).fill(videos[:1], SIZE)
    (entry,) = (tmp_path / "c").glob("*.npy")
    whole = entry.read_bytes()
    expected = read_frames(videos[0].path, [5], SIZE).pixels
    for place in range(128):
        entry.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        assert np.array_equal(FrameCache(tmp_path / "c", 10**9).read(videos[0], [5], SIZE).pixels, expected)
        assert entry.read_bytes() == whole


def test_a_changed_video_is_another_entry(videos: list[Video], tmp_path: Path, write_video) -> None:
    cache = FrameCache(tmp_path / "c", 10**9)
    before = cache.read(videos[0], [0], SIZE).pixels
    path = write_video(videos[0].path, frames=30, seed=9)
    changed = Video(videos[0].name, path, 0, "0")
    assert np.array_equal(cache.read(changed, [29], SIZE).pixels, read_frames(path, [29], SIZE).pixels)
    assert not np.array_equal(cache.read(changed, [0], SIZE).pixels, before)


def test_the_same_bytes_elsewhere_share_an_entry_and_others_of_that_size_do_not(videos: list[Video], tmp_path: Path) -> None:
    cache = FrameCache(tmp_path / "c", 10**9)
    before = cache.read(videos[0], [0], SIZE).pixels
    first, second = videos[0].path, videos[1].path
    contents = [path.read_bytes().ljust(10**6, b"\0") for path in (first, second)]
    for path, content in zip((first, second), contents, strict=True):
        path.write_bytes(content)
    FrameCache(tmp_path / "d", 10**9).fill(videos[:2], SIZE)
    for path, content in zip((first, second), reversed(contents), strict=True):
        path.write_bytes(content)
    swapped = FrameCache(tmp_path / "d", 10**9)
    assert np.array_equal(swapped.read(videos[1], [0], SIZE).pixels, before)
    assert not np.array_equal(swapped.read(videos[0], [0], SIZE).pixels, before)
    assert len(entries(tmp_path / "d")) == 2


def test_replaced_frames_are_still_counted_from_the_cache(tmp_path: Path, write_video) -> None:
    path = write_video(tmp_path / "a.mp4", frames=40, height=96, width=128)
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 3)
    path.write_bytes(bytes(content))
    video = Video("a.mp4", path, 0, "a", probe(path).frames, probe(path).decoder)
    places = np.flatnonzero(decode(path, range(video.frames), SIZE)[1]).tolist()
    assert places
    for cache in (FrameCache(tmp_path / "c", 10**9), FrameCache(tmp_path / "c", 10**9)):
        assert cache.read(video, range(video.frames), SIZE).replaced == len(places)
        assert cache.read(video, [places[0], places[0], 0], SIZE).replaced == 2
    (sidecar,) = (tmp_path / "c").glob("*.json")
    assert json.loads(sidecar.read_text())["replaced"] == places


@pytest.mark.parametrize("failure", ["no directory", "full disk"])
def test_a_cache_that_cannot_be_written_warns_once_and_reading_goes_on(
    videos: list[Video], tmp_path: Path, monkeypatch, failure: str
) -> None:
    (tmp_path / "file").touch()
    directory = tmp_path / "file" if failure == "no directory" else tmp_path / "c"
    if failure == "full disk":

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(cache_module.os, "fsync", full)
    cache = FrameCache(directory, 10**9)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for video in (*videos, *videos):
            expected = read_frames(video.path, [4, 2], SIZE).pixels
            assert np.array_equal(cache.read(video, [4, 2], SIZE).pixels, expected)
    assert len(caught) == 1
    reason = "Not a directory|File exists" if failure == "no directory" else "No space left"
    assert any(part in str(caught[0].message) for part in reason.split("|"))
    assert not directory.is_dir() or list(directory.iterdir()) == []


def _read(cache: FrameCache, videos: list[Video]) -> np.ndarray:
    return np.stack([cache.read(video, [0, 5], SIZE).pixels for video in videos])


def test_processes_share_a_cache(videos: list[Video], tmp_path: Path) -> None:
    cache = FrameCache(tmp_path / "c", 10**9)
    _read(cache, videos[:1])
    assert pickle.loads(pickle.dumps(cache)).limit_bytes == 10**9
    with multiprocessing.get_context("fork").Pool(2) as pool:
        first, second = pool.starmap(_read, [(cache, videos), (cache, videos[::-1])])
    assert np.array_equal(first, second[::-1]) and len(entries(tmp_path / "c")) == 4
    assert {path.suffix for path in (tmp_path / "c").iterdir()} == {".npy", ".json"}


def test_a_machine_without_decoders_reads_what_was_prepared(tmp_path: Path) -> None:
    code = f"""
import sys
if sys.argv[1] == "without":
    sys.modules.update(av=None, decord=None)
from pathlib import Path
from types import SimpleNamespace
from trainables.video.cache import FrameCache
from trainables.video.embedded import embedded_videos
from trainables.video.inventory import take_inventory
directory = Path({str(tmp_path)!r})
settings = SimpleNamespace(classes=6, train=1, validation=0, test=1, frames=8, height=32, width=32, seed=0, domain="usual")
videos = take_inventory(embedded_videos(settings, directory), directory)
cache = FrameCache(directory / "frames", 10**9)
print(sum(int(cache.read(video, range(8), (32, 32)).pixels.sum()) for video in videos.train))
"""
    root = Path(cache_module.__file__).parents[2]
    sums = [
        subprocess.run([sys.executable, "-c", code, mode], check=True, cwd=root, capture_output=True, text=True).stdout
        for mode in ("with", "without")
    ]
    assert int(sums[0]) == int(sums[1]) > 0


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize(
    "call", ["mmap.mmap", "os.utime", "replacing", "write_atomically", "Path.mkdir", "Path.read_text", "Path.iterdir"]
)
def test_an_error_of_the_disk_costs_speed_and_nothing_else(
    videos: list[Video], tmp_path: Path, monkeypatch, call: str, number: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    FrameCache(tmp_path / "c", 10**9).fill(videos[:1], SIZE)
    expected = [read_frames(video.path, [4, 2], SIZE).pixels for video in videos]
    owner, _, name = call.rpartition(".")
    monkeypatch.setattr(getattr(cache_module, owner) if owner else cache_module, name, fail)
    cache = FrameCache(tmp_path / "c", 10**9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            for video, pixels in zip(videos, expected, strict=True):
                assert np.array_equal(cache.read(video, [4, 2], SIZE).pixels, pixels)


def test_a_long_entry_is_not_kept_in_memory(videos: list[Video], tmp_path: Path) -> None:
    """Of 108 MB, read clip by clip: what the process has mapped of it beyond a clip of 9 MB."""

    def mapped() -> int:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.split("RssFile:")[1].split()[0]) * 1024

    size = (1200, 1250)
    cache = FrameCache(tmp_path / "c", 10**9)
    cache.fill(videos[:1], size)
    before = mapped()
    for start in range(23):
        found = cache.read(videos[0], [start, start + 1], size).pixels
        assert np.array_equal(found[1], read_frames(videos[0].path, [start + 1], size).pixels[0])
        assert mapped() - before < 20e6
