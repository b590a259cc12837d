"""Frames kept as JPEG: the same whichever way they are read, nearly those of the file, and as well guarded as pixels are."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.video.cache import FrameCache
from trainables.video.compressed import compress, expand
from trainables.video.decoding import probe, read_frames
from trainables.video.videos import Video

SIZE = (64, 80)
FRAMES = 24
PIXELS = FRAMES * 64 * 80 * 3


@pytest.fixture
def videos(tmp_path: Path, write_video) -> list[Video]:
    paths = [write_video(tmp_path / "videos" / f"{index}.avi", frames=FRAMES, seed=index) for index in range(3)]
    return [Video(path.name, path, 0, path.stem, probe(path).frames, "pyav") for path in paths]


def size_of(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.glob("*.jpegs"))


def test_an_image_comes_back_nearly_and_is_a_jpeg_that_others_read_alike(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:64, :80]
    image = np.stack([100 + rows, 200 - columns, 60 + (rows + columns) // 2], axis=-1).astype(np.uint8)
    content = compress(image)
    found = expand(content)
    assert np.abs(found.astype(int) - image).mean() < 1.5 and len(content) < image.nbytes / 5
    (tmp_path / "a.jpg").write_bytes(content)
    assert np.abs(np.asarray(Image.open(tmp_path / "a.jpg")).astype(int) - found).max() <= 2, "red is red"
    with pytest.raises(ValueError, match="no image"):
        expand(b"text")


def test_the_same_pixels_whether_they_are_kept_or_not(videos: list[Video], tmp_path: Path) -> None:
    """Stored, read again, beyond the bound and without a directory: the JPEG images' pixels, cut after they are expanded."""
    stored, bounded, none = (
        FrameCache(tmp_path / "c", 10**9, "jpeg"),
        FrameCache(tmp_path / "d", 100, "jpeg"),
        FrameCache(None, 0, "jpeg"),
    )
    for video in videos:
        plain = read_frames(video.path, [7, 3, 3, 23], SIZE).pixels
        expected = np.stack([expand(compress(image)) for image in plain])
        assert 0 < np.abs(expected.astype(int) - plain).mean() < 3
        for cache in (stored, stored, FrameCache(tmp_path / "c", 10**9, "jpeg"), bounded, none):
            assert np.array_equal(cache.read(video, [7, 3, 3, 23], SIZE).pixels, expected)
            one, two = cache.read_clips(video, [[3], [23, 7]], SIZE, [(2, 3, 20, 30), None])
            assert np.array_equal(one.pixels, expected[1:2, 2:22, 3:33]) and np.array_equal(two.pixels, expected[[3, 0]])
        for wrong in ([24], [-1], []):
            with pytest.raises(IndexError):
                stored.read(video, wrong, SIZE)
    assert 0 < size_of(tmp_path / "c") < 0.5 * 3 * PIXELS and size_of(tmp_path / "d") == 0


def test_both_forms_lie_side_by_side(videos: list[Video], tmp_path: Path) -> None:
    for form in ("raw", "jpeg", "raw"):
        cache = FrameCache(tmp_path / "c", 10**9, form)
        found = cache.read(videos[0], range(FRAMES), SIZE).pixels
        assert np.array_equal(found, read_frames(videos[0].path, range(FRAMES), SIZE).pixels) == (form == "raw")
    assert len(list((tmp_path / "c").iterdir())) == 4


def test_the_bound_is_of_the_bytes_that_they_take(videos: list[Video], tmp_path: Path) -> None:
    """While a video is stored half of its pixels' bytes are reserved."""
    FrameCache(tmp_path / "c", 10**9, "jpeg").fill(videos, SIZE)
    taken = size_of(tmp_path / "c")
    bound = taken * 2 // 3 + PIXELS // 2
    cache = FrameCache(tmp_path / "d", bound, "jpeg")
    for video in videos:
        cache.fill([video], SIZE)
    assert cache._used == size_of(tmp_path / "d") == taken


@pytest.mark.parametrize("suffix", [".jpegs", ".json"])
@pytest.mark.parametrize("how", ["bit", "cut", "lost"])
def test_damage_is_noticed_and_the_video_decoded_again(videos: list[Video], tmp_path: Path, suffix: str, how: str) -> None:
    FrameCache(tmp_path / "c", 10**9, "jpeg").fill(videos[:1], SIZE)
    (damaged,) = (tmp_path / "c").glob(f"*{suffix}")
    whole = damaged.read_bytes()
    expected = FrameCache(None, 0, "jpeg").read(videos[0], range(FRAMES), SIZE).pixels
    if how == "lost":
        damaged.unlink()
    else:
        damaged.write_bytes(whole[:-100] + (bytes([whole[-100] ^ 1]) + whole[-99:] if how == "bit" else b""))
    cache = FrameCache(tmp_path / "c", 10**9, "jpeg")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert np.array_equal(cache.read(videos[0], range(FRAMES), SIZE).pixels, expected)
    assert len(caught) == ((suffix, how) == (".jpegs", "bit"))
    assert damaged.read_bytes() == whole
