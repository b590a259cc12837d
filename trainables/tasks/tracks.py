"""Patches of a video followed by optical flow: unlabelled training data of the tracking teacher (Wang & Gupta 2015).

Wang & Gupta find patches by the motion of SURF points and dense trajectories, drop camera motion, and follow them with the
KCF tracker. Here dense optical flow (Farneback 2003, OpenCV) does all of it: less its median over the frame, which is the
camera's, it says where things move. A track starts at the square window in which most moves and follows what moves in it, for
`frames` frames, held inside the frame. Windows in which too little moves start no track.

Tracks are rows of 10 integers: start frame, end frame, and the window (top, left, height, width) at the start and at the end,
in frames of video.height x video.width. The cost is one flow field per frame of a track, shared by tracks that overlap: on one
core 0.5 ms at 56x56 pixels, 11 at 128x171, 44 at 256x340.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from trainables.settings import VideoSettings
from trainables.settings.teachers import TrackingSettings
from trainables.tasks.task import Tracks
from trainables.video.cache import FrameCache
from trainables.video.videos import Video

COLUMNS = 10
SHORTEST = 2
"""Frames of a track; videos of fewer have none."""

LEAST_WEIGHT = 1e-9
"""Squared pixels; of every place, so that a window in which nothing moves has a mean flow."""

Flow = Callable[[int], np.ndarray]
"""Optical flow (H, W, 2) as (x, y), float32, in pixels, from a frame to the next."""


def mine_video(video: Video, cache: FrameCache, size: VideoSettings, tracking: TrackingSettings) -> np.ndarray:
    """Tracks (T, 10) int32 of a video, at most `tracking.tracks_per_video`; none where nothing moves enough."""
    length = min(tracking.frames, video.frames)
    if length < SHORTEST:
        return np.zeros((0, COLUMNS), dtype=np.int32)
    starts = np.unique(np.linspace(0, video.frames - length, tracking.tracks_per_video).round().astype(np.int64))
    frames = np.unique(starts[:, None] + np.arange(length))
    pixels = cache.read(video, [int(frame) for frame in frames], (size.height, size.width)).pixels
    places = {int(frame): place for place, frame in enumerate(frames)}
    flow = functools.cache(lambda frame: optical_flow(pixels[places[frame]], pixels[places[frame + 1]]))
    side = max(1, round(tracking.patch * min(size.height, size.width)))
    least = tracking.least_motion * min(size.height, size.width)
    found = [follow(flow, int(start), length, side, least) for start in starts]
    return np.array([track for track in found if track is not None], dtype=np.int32).reshape(-1, COLUMNS)


def follow(flow: Flow, start: int, length: int, side: int, least_motion: float) -> tuple[int, ...] | None:
    """One track of `length` frames, of a window of this side in pixels; None if less moves than `least_motion` pixels.

    least_motion: mean motion in the window from the first frame to the second, beyond the camera's. The window moves by the
    mean of its flow, weighted by the square of what is not the camera's: flow is blurred at the edges of what moves, which
    would make the window lag behind.
    """
    motion = own_motion(flow(start))
    top, left = busiest_window(motion, side)
    if motion[top : top + side, left : left + side].mean() < least_motion:
        return None
    corner = np.array([left, top], dtype=np.float64)
    farthest = np.array([motion.shape[1] - side, motion.shape[0] - side])
    for frame in range(start, start + length - 1):
        x, y = corner.round().astype(np.int64)
        inside = flow(frame)[y : y + side, x : x + side].reshape(-1, 2)
        motion = own_motion(flow(frame))[y : y + side, x : x + side].ravel().astype(np.float64)
        corner = (corner + np.average(inside, axis=0, weights=motion**2 + LEAST_WEIGHT)).clip(0, farthest)
    end_left, end_top = (int(place) for place in corner.round())
    return (start, start + length - 1, top, left, side, side, end_top, end_left, side, side)


def own_motion(flow: np.ndarray) -> np.ndarray:
    """How far each place of a flow field (H, W, 2) moves beyond the median, the camera's motion: (H, W) in pixels."""
    return np.asarray(np.linalg.norm(flow - np.median(flow, axis=(0, 1)), axis=2))


def busiest_window(motion: np.ndarray, side: int) -> tuple[int, int]:
    """Top and left of the square window with most motion in it, the first of equals."""
    sums = np.pad(motion.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    totals = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(totals.argmax(), totals.shape)
    return int(top), int(left)


def optical_flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Farneback's flow (H, W, 2), float32, from one frame (H, W, 3) uint8 to the next. One thread computes."""
    import cv2  # here, so that a machine without OpenCV can train on tracks that were mined elsewhere

    cv2.setNumThreads(1)
    start, end = (cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in (first, second))
    flow = np.zeros((*start.shape, 2), dtype=np.float32)
    return np.asarray(
        cv2.calcOpticalFlowFarneback(
            start, end, flow, pyr_scale=0.5, levels=3, winsize=7, iterations=3, poly_n=5, poly_sigma=1.1, flags=0
        )
    )


def pack(tracks: Tracks, videos: Sequence[Video]) -> dict[str, Tensor]:
    """`tracks` (M, 11) int32: every track after its video's place in `videos`."""
    rows = [np.insert(tracks[video.name], 0, place, axis=1) for place, video in enumerate(videos) if video.name in tracks]
    return {"tracks": torch.from_numpy(np.concatenate([np.zeros((0, COLUMNS + 1)), *rows]).astype(np.int32))}


def unpack(tensors: Mapping[str, Tensor], videos: Sequence[Video]) -> dict[str, np.ndarray]:
    """The tracks (T, 10) of each video that has any, by name, from what `pack` made for the same videos."""
    rows = tensors["tracks"].numpy()
    return {videos[place].name: rows[rows[:, 0] == place, 1:] for place in np.unique(rows[:, 0])}
