"""What a video shows, as a digest of a few decoded frames: the same for the same frames, whatever bytes they came from."""

import hashlib
import json
from typing import Any

from trainables.video.pixels import converter

_SAMPLES = 3
_LARGE = 2**22  # pixels in a frame, beyond which a smaller copy is looked at
_SMALLER = 4


class Shown:
    """The digest of a video of so many places for frames: of the first, the last, and the one between them.

    places: where these are, rising.
    """

    def __init__(self, places: int) -> None:
        self.places = sorted({place * (places - 1) // (_SAMPLES - 1) for place in range(_SAMPLES)} if places else ())
        self._seen: dict[int, str] = {}
        self._converted = converter()

    def take(self, place: int, frame: Any) -> str:
        """A digest of PyAV's frame at this place, if it is one of those looked at, else ""."""
        if place not in self.places:
            return ""
        by = _SMALLER if frame.height * frame.width > _LARGE else 1
        pixels = self._converted(frame, frame.height // by, frame.width // by)
        return hashlib.sha256(pixels.tobytes()).hexdigest()

    def add(self, place: int, taken: str) -> None:
        """What `take` gave of a frame that is sound."""
        if taken:
            self._seen[place] = taken

    def of(self, frames: int) -> str:
        """The digest, of a video of so many frames, as 32 hex digits."""
        return hashlib.sha256(json.dumps([frames, sorted(self._seen.items())]).encode()).hexdigest()[:32]
