"""How many videos of large frames are decoded at once in a process: a decoder may hold seventeen frames, and threads read side
by side."""

import contextlib
import os
import threading
from collections.abc import Iterator

_PIXELS = 2**23
"""In the frames of all videos that are decoded at once, unless it is one alone: a video of 4K, or four of 1080 lines."""

_changed = threading.Condition()
_taken: dict[object, tuple[int, int]] = {}
"""By reader its thread and the pixels of its frames."""


@contextlib.contextmanager
def of_pixels(pixels: int) -> Iterator[None]:
    """Wait until a video with frames of so many pixels may be decoded. A thread does not wait for itself."""
    reader, thread = object(), threading.get_ident()

    def is_free() -> bool:
        others = [used for holder, used in _taken.values() if holder != thread]
        return not any(others) or sum(others) + pixels <= _PIXELS

    with _changed:
        _changed.wait_for(is_free)
        _taken[reader] = (thread, pixels)
    try:
        yield
    finally:
        with _changed:
            _taken.pop(reader, None)
            _changed.notify_all()


def _forget() -> None:
    """In a forked process, which has none of the threads that read."""
    global _changed
    _changed = threading.Condition()
    _taken.clear()


os.register_at_fork(after_in_child=_forget)
