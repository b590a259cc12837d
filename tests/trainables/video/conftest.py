"""Small videos for the tests of video input."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import av
import numpy as np
import pytest

WriteVideo = Callable[..., Path]


@pytest.fixture
def write_video() -> WriteVideo:
    """Writes a video in which every frame differs from every other; returns its path."""

    def write(
        path: Path,
        frames: int = 24,
        height: int = 48,
        width: int = 64,
        *,
        codec: str = "mpeg4",
        gop: int = 6,
        b_frames: int = 0,
        seed: int = 0,
        options: Mapping[str, str] | None = None,
        times: Sequence[int] | None = None,
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(seed)
        rows, columns = np.mgrid[:height, :width]
        texture = rng.integers(0, 40, size=(height, width, 1))
        with av.open(str(path), "w") as container:
            quality = {"qmin": "2", "qmax": "2"} if codec == "mpeg4" else {}
            stream = container.add_stream(codec, rate=25, options=dict(options or quality))
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            stream.gop_size, stream.max_b_frames, stream.thread_count = gop, b_frames, 1
            for time in range(frames):
                waves = [100 + 60 * np.sin((rows * a + columns * b) / 9 + time * 0.7) for a, b in ((1, 2), (2, 1), (1, 0))]
                image = np.clip(np.stack(waves, axis=-1) + texture, 0, 255).astype(np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts = times[time] if times else time
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return write
