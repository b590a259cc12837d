"""Videos that take much memory, made here: 4K and 8K, ten bits, B-frames, hundreds of thousands of frames, several at once.

Each is examined, decoded, stored and read in a process of its own, of which the peak of its resident memory is taken, and of
the largest process that it starts. Of fewer rounds than there are videos, the first ones are made.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.faults.figure import Figure, NotHere, command

LIMIT_BYTES = 10**9
ROOT = Path(__file__).resolve().parents[2]
X264 = {"preset": "ultrafast", "x264-params": "bframes=3:b-pyramid=normal:b-adapt=0:ref=4"}
X265 = {
    "preset": "ultrafast",
    "x265-params": "bframes=4:b-pyramid=1:b-adapt=0:ref=3:log-level=error:pools=none:frame-threads=1",
}
X265_AT_MOST = {
    "preset": "ultrafast",
    "x265-params": "bframes=8:rc-lookahead=12:b-pyramid=1:b-adapt=0:ref=5:log-level=error:pools=none:frame-threads=1",
}
"""As many frames as HEVC's levels allow at 8K."""
READ = """
import resource
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from trainables.video.cache import FrameCache
from trainables.video.decoding import read_frames
from trainables.video.inventory import take_inventory
from trainables.video.videos import Video, VideoSet
place = Path(sys.argv[1])
paths = sorted((place / "videos").iterdir())
videos = VideoSet("own", ("a",), tuple(Video(path.name, path, 0, path.name) for path in paths), (), ())
with ThreadPoolExecutor(8) as pool:
    sets = pool.map(lambda video: take_inventory(VideoSet(video.name, ("a",), (video,), (), ()), place), videos.train)
    taken = [videos.train[0] for videos in sets]
    cache = FrameCache(place / "frames", 10**11)
    list(pool.map(lambda video: cache.fill([video], (32, 32)), taken))
    list(pool.map(lambda video: read_frames(video.path, [0, video.frames - 1], (128, 171), decoder=video.decoder), taken))
for video in taken:
    for start in range(0, video.frames - 16, 997):
        cache.read(video, range(start, start + 16), (32, 32))
own = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
print(taken[0].frames, own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Prints the frames of a video and two peaks in KiB: its own, and that of the largest process it started, 0 without one. Linux
begins the latter with what the one that started it had."""


@dataclass(frozen=True)
class Kind:
    """A video as it is made. copies: how many of it are read at once."""

    name: str
    frames: int
    make: Callable[[Path, int, random.Random], None]
    copies: int = 1


def _encoded(codec: str, pixels: str, width: int, height: int, options: dict[str, str]) -> Callable[..., None]:
    """Makes a file of frames of one brightness each."""

    def make(path: Path, frames: int, chance: random.Random) -> None:
        with av.open(str(path), "w", format="mp4") as container:
            stream: Any = container.add_stream(codec, rate=25, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, pixels
            stream.codec_context.thread_count = 1
            frame = av.VideoFrame(width, height, pixels)
            deep = "10" in pixels
            for number in range(frames):
                for plane in frame.planes:
                    level = np.uint16(chance.randrange(1024)) if deep else np.uint8(chance.randrange(256))
                    plane.update(np.full(plane.buffer_size // level.nbytes, level))
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode())

    return make


def _images(width: int, height: int) -> Callable[..., None]:
    """Makes a directory of uncompressed images."""
    size = 3 * width * height
    head = b"BM" + np.array([54 + size, 0, 54, 40, width, height], "<u4").tobytes()
    head += np.array([1, 24], "<u2").tobytes() + np.array([0, size, 0, 0, 0, 0], "<u4").tobytes()

    def make(path: Path, frames: int, chance: random.Random) -> None:
        path.mkdir()
        for number in range(frames):
            (path / f"img_{number}.bmp").write_bytes(head + bytes([chance.randrange(256)]) * size)

    return make


KINDS = (
    Kind("H.264, 1080 lines", 30, _encoded("libx264", "yuv420p", 1920, 1080, X264)),
    Kind("8 of H.264, 1080 lines, at once", 30, _encoded("libx264", "yuv420p", 1920, 1080, X264), copies=8),
    Kind("H.264, 4K", 20, _encoded("libx264", "yuv420p", 3840, 2160, X264)),
    Kind("H.264 of 10 bits, 4K", 20, _encoded("libx264", "yuv420p10le", 3840, 2160, X264)),
    Kind("HEVC of 10 bits, 4K", 20, _encoded("libx265", "yuv420p10le", 3840, 2160, X265)),
    Kind("8 of HEVC of 10 bits, 4K, at once", 20, _encoded("libx265", "yuv420p10le", 3840, 2160, X265), copies=8),
    Kind("200,000 frames of 16x16", 200_000, _encoded("mpeg4", "yuv420p", 16, 16, {})),
    Kind("100,000 images of 16x16", 100_000, _images(16, 16)),
    Kind("images, 8K", 5, _images(7680, 4320)),
    Kind("H.264, 8K", 12, _encoded("libx264", "yuv420p", 7680, 4320, X264)),
    Kind("HEVC, 8K", 12, _encoded("libx265", "yuv420p", 7680, 4320, X265)),
    Kind("HEVC of 10 bits, 8K", 12, _encoded("libx265", "yuv420p10le", 7680, 4320, X265)),
    Kind("HEVC of 10 bits, 8K, eight B-frames in a row", 24, _encoded("libx265", "yuv420p10le", 7680, 4320, X265_AT_MOST)),
)
ROUNDS, SHORT = len(KINDS), 2


def peaks_of(kind: Kind, chance: random.Random) -> tuple[int, int]:
    """The most resident memory, in bytes, of a process that reads such a video, and of one that it starts for it."""
    with tempfile.TemporaryDirectory(prefix="auxgraph-memory-") as scratch:
        (Path(scratch) / "videos").mkdir()
        first, *others = (Path(scratch) / "videos" / str(number) for number in range(kind.copies))
        kind.make(first, kind.frames, chance)
        for other in others:
            os.link(first, other)
        words = [sys.executable, "-c", READ, scratch]
        ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{kind.name}: {ended.stderr[-2000:]}")
    frames, own, started = map(int, ended.stdout.split())
    if frames != kind.frames:
        raise RuntimeError(f"{kind.name}: {frames} frames were read of {kind.frames}")
    return 1024 * own, 1024 * started


def _peaks(kinds: tuple[Kind, ...], seed: int) -> Iterator[tuple[str, tuple[int, int]]]:
    for kind in kinds:
        start = time.monotonic()
        peaks = peaks_of(kind, random.Random(f"{seed} {kind.name}"))
        print(f"{kind.name}: {_said(peaks)} ({time.monotonic() - start:.0f} s)", flush=True)
        yield kind.name, peaks


def _said(peaks: tuple[int, int]) -> str:
    own, started = (f"{peak / 1e6:,.0f} MB" for peak in peaks)
    return f"{own}, and {started} in the one that decodes" if peaks[1] else own


def run(rounds: int, seed: int) -> list[Figure]:
    """rounds: videos."""
    if lacking := {"libx264", "libx265", "mpeg4"} - av.codecs_available:
        raise NotHere(f"PyAV was built without {', '.join(sorted(lacking))}")
    what = "peak memory of a process that reads {}"
    asked = f"<= {LIMIT_BYTES / 1e6:,.0f} MB"
    typed = command("memory_of_videos", rounds, seed)
    peaks = _peaks(KINDS[:rounds], seed)
    return [Figure(what.format(name), _said(each), asked, max(each) <= LIMIT_BYTES, typed) for name, each in peaks]
