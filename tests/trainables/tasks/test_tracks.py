"""Mining tracks: a square that is known to move is followed, what stands still gives none, and tracks survive storage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from trainables.settings import VideoSettings
from trainables.settings.teachers import TrackingSettings
from trainables.tasks.tracks import busiest_window, mine_video, own_motion, pack, unpack
from trainables.video.cache import FrameCache
from trainables.video.decoding import Frames
from trainables.video.videos import Video

pytest.importorskip("cv2", reason="OpenCV is among the dependencies")

SIZE = VideoSettings(height=48, width=64, crop=32)
SQUARE = 12


class Drawn(FrameCache):
    """Serves frames (n, H, W, 3) from memory."""

    def __init__(self, frames: np.ndarray) -> None:
        super().__init__(None, 0)
        self.frames = frames

    def read(self, video: Video, indices: object, size: tuple[int, int], window: object = None) -> Frames:
        assert size == self.frames.shape[1:3]
        return Frames(self.frames[np.asarray(indices)], 0)


def moving_square(frames: int, speed: tuple[float, float], start: tuple[int, int], camera: int = 0) -> np.ndarray:
    """A textured square that moves by `speed` (down, right) pixels a frame on a ground that moves by `camera` to the right."""
    rng = np.random.default_rng(0)
    ground, square = smooth(rng, 48, 64), smooth(rng, SQUARE, SQUARE)
    drawn = np.stack([np.roll(ground, camera * time, axis=1) for time in range(frames)])
    for time, frame in enumerate(drawn):
        top, left = (round(place + step * time) for place, step in zip(start, speed, strict=True))
        part = frame[top : top + SQUARE, left : left + SQUARE]
        part[:] = square[: part.shape[0], : part.shape[1]]
    return np.repeat(drawn[..., None], 3, axis=3).astype(np.uint8)


def smooth(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    texture = rng.uniform(0, 255, (height, width))
    for axis in (0, 1):
        texture = (np.roll(texture, 1, axis) + texture + np.roll(texture, -1, axis)) / 3
    return ((texture - 127.5) * 2 + 127.5).clip(0, 255)


def mine(frames: np.ndarray, **values: object) -> np.ndarray:
    tracking = TrackingSettings(**{"frames": 16, "patch": 0.5, "tracks_per_video": 1} | values)
    return mine_video(Video("a.avi", Path("a.avi"), 0, "a", len(frames)), Drawn(frames), SIZE, tracking)


@pytest.mark.parametrize(("speed", "start"), [((0, 2), (20, 4)), ((1, -1.5), (4, 44)), ((-1, 0), (30, 30))])
def test_a_moving_square_is_followed(speed: tuple[float, float], start: tuple[int, int]) -> None:
    """The window of 24 pixels holds the square of 12 in the first frame and, 15 frames on, where the square then is."""
    ((first, last, top, left, height, width, end_top, end_left, end_height, end_width),) = mine(moving_square(16, speed, start))
    assert (first, last) == (0, 15)
    assert height == width == end_height == end_width == 24
    for window, square in (
        ((top, left), start),
        ((end_top, end_left), (start[0] + 15 * speed[0], start[1] + 15 * speed[1])),
    ):
        for corner, place in zip(window, square, strict=True):
            assert corner - 1 <= place <= corner + 24 - SQUARE + 1


def test_the_camera_s_own_motion_is_none() -> None:
    """Everything moves by 2 pixels: no track. Something moves against it: a track, on it."""
    assert len(mine(moving_square(16, (0, 2), (20, 4), camera=2), least_motion=0.02)) == 0
    ((_, _, top, left, *_),) = mine(moving_square(16, (0, 0), (20, 30), camera=1), least_motion=0.002)
    assert top - 1 <= 20 <= top + 13
    assert left - 1 <= 30 <= left + 13


def test_a_video_in_which_nothing_moves_has_no_track() -> None:
    assert mine(moving_square(16, (0, 0), (20, 20))).shape == (0, 10)
    assert mine(np.full((16, 48, 64, 3), 7, dtype=np.uint8)).shape == (0, 10)


def test_more_motion_can_be_asked_for() -> None:
    """The square moves by 1 pixel in a quarter of the window: 0.25 of 48 pixels is 0.005."""
    frames = moving_square(16, (0, 1), (20, 4))
    assert len(mine(frames, least_motion=0.003)) == 1
    assert len(mine(frames, least_motion=0.03)) == 0


def test_starts_are_spread_evenly_and_short_videos_have_what_they_can() -> None:
    frames = moving_square(40, (0, 1), (20, 4))
    several = mine(frames, tracks_per_video=4)
    assert several[:, :2].tolist() == [[0, 15], [8, 23], [16, 31], [24, 39]]
    assert several.dtype == np.int32
    assert np.all(several[:, 2:4] >= 0) and np.all(several[:, 6:8] >= 0)
    assert np.all(several[:, [2, 6]] <= 48 - 24) and np.all(several[:, [3, 7]] <= 64 - 24)
    assert mine(frames[:9], tracks_per_video=4)[:, :2].tolist() == [[0, 8]]
    assert mine(frames[:2])[:, :2].tolist() == [[0, 1]]
    assert mine(frames[:1]).shape == (0, 10)
    assert np.array_equal(mine(frames, tracks_per_video=4), several), "the same every time"


def test_windows_stay_in_the_frame_when_what_moves_leaves_it() -> None:
    ((*_, end_top, end_left, _, _),) = mine(moving_square(16, (0, 3), (20, 10)))
    assert 0 <= end_top <= 24
    assert end_left == 64 - 24


def test_the_busiest_window_against_all_windows() -> None:
    motion = np.random.default_rng(0).uniform(size=(7, 9)).astype(np.float32)
    sums = {(top, left): motion[top : top + 3, left : left + 3].sum() for top in range(5) for left in range(7)}
    assert busiest_window(motion, 3) == max(sums, key=sums.__getitem__)
    assert busiest_window(np.ones((3, 3)), 3) == (0, 0)


def test_own_motion_is_the_length_beyond_the_median() -> None:
    flow = np.tile(np.array([2.0, -1.0], dtype=np.float32), (4, 4, 1))
    flow[0, 0] = [5, 3]
    expected = np.zeros((4, 4))
    expected[0, 0] = 5
    assert own_motion(flow).tolist() == expected.tolist()


@pytest.mark.parametrize("counts", [(2, 0, 3), (0, 0, 0)])
def test_tracks_survive_a_safetensors_file(tmp_path: Path, counts: tuple[int, ...]) -> None:
    videos = [Video(name, Path(name), 0, name, 30) for name in ("x/a.avi", "b.avi", "c.avi")]
    rng = np.random.default_rng(0)
    drawn = {video.name: rng.integers(0, 300, (count, 10), dtype=np.int32) for video, count in zip(videos, counts, strict=True)}
    tracks = {name: rows for name, rows in drawn.items() if len(rows)}
    save_file(pack(tracks, videos), tmp_path / "tracks.safetensors")
    restored = unpack(load_file(tmp_path / "tracks.safetensors"), videos)
    assert restored.keys() == tracks.keys()
    for name, rows in tracks.items():
        assert restored[name].dtype == np.int32
        assert np.array_equal(restored[name], rows)
