"""How many large videos are decoded at once, against threads that count each other."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trainables.video import room
from trainables.video.decoding import decode_in_order, probe

UHD, HD = 3840 * 2160, 1920 * 1080


@pytest.mark.parametrize(("pixels", "most"), [(2 * UHD, 1), (UHD, 1), (HD, 4), (320 * 240, 8)])
def test_fewer_are_decoded_at_once_the_larger_they_are(pixels: int, most: int) -> None:
    inside, seen, lock = 0, [], threading.Lock()
    together = threading.Barrier(most)

    def decode(_: int) -> None:
        nonlocal inside
        with room.of_pixels(pixels):
            with lock:
                inside += 1
                seen.append(inside)
            together.wait(timeout=10)
            with lock:
                inside -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode, range(8)))
    assert max(seen) == most


def test_a_reader_that_was_left_half_way_keeps_nobody_from_reading(tmp_path: Path, write_video, monkeypatch) -> None:
    monkeypatch.setattr(room, "_PIXELS", 1)
    path = write_video(tmp_path / "a.avi")
    left = decode_in_order(path, range(24), (8, 8), decoder="pyav")
    next(left)
    assert len(list(decode_in_order(path, range(24), (8, 8), decoder="pyav"))) == 24, "the same thread does not wait for itself"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(probe, path)
        left.close()
        assert waiting.result(timeout=10).frames == 24
    assert not room._taken
