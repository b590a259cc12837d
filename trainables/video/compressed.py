"""Frames as JPEG: a tenth to a third of their bytes, and pixels that differ from the decoder's by about one level of 255.

Where frames are kept so, all frames go through it, whether they are kept or not: what is read does not depend on the room there
is. OpenCV encodes and decodes; colours have half the resolution of brightness (4:2:0), as in most videos.
"""

from typing import Literal

import numpy as np

from trainables.video.pixels import Pixels

Form = Literal["raw", "jpeg"]
QUALITY = 95
SHARE = 0.12
"""Of the bytes of frames as they are, about, at the size of preset `paper`; smaller frames take up to 0.4."""


def compress(image: Pixels) -> bytes:
    """An image (height, width, 3)."""
    import cv2

    how = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), how)[1].tobytes()


def expand(content: bytes | memoryview) -> Pixels:
    """The image (height, width, 3) that `compress` was given, nearly. Raises ValueError for what is none."""
    import cv2

    image = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{len(content)} bytes that are no image")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def as_read(image: Pixels, form: Form) -> Pixels:
    """What is read of an image that is kept so."""
    return expand(compress(image)) if form == "jpeg" else image
