"""Directories of frames against images written here."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from trainables.video.decoding import DecodingError, Probe
from trainables.video.frame_folders import identity, is_frame_folder, probe, read

NAMES = ["img_{:05d}.jpg", "{:05d}.jpg", "frame{:06d}.PNG", "image-{}.jpeg"]


def picture(number: int) -> NDArray[np.uint8]:
    """RGB, smooth, of another colour for each number, so that JPEG keeps it within a few levels."""
    return np.full((24, 32, 3), (20 * number, 250 - 20 * number, 90), dtype=np.uint8)


def write(folder: Path, name: str = "img_{:05d}.jpg", frames: int = 12) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, frames + 1):
        assert cv2.imwrite(str(folder / name.format(number)), picture(number)[:, :, ::-1])
    return folder


def shown(folder: Path, places: list[int]) -> list[tuple[int, bool]]:
    """The number of the picture that each frame shows, and whether it is another's."""
    pictures = np.stack([picture(number) for number in range(1, 13)]).astype(int)
    found = []
    for pixels, other in read(folder, places):
        away = np.abs(pictures - pixels).max(axis=(1, 2, 3))
        assert away.min() <= 4
        found.append((int(away.argmin()) + 1, other))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_frames_are_read_in_the_order_of_their_numbers(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "clip", name)
    for flow in ("flow_x_00001.jpg", "flow_y_00001.jpg", "._img_00001.jpg", "notes.txt"):
        (folder / flow).write_bytes(b"x")
    assert is_frame_folder(folder) and probe(folder) == Probe(12, 24, 32, "images")
    assert shown(folder, [0, 1, 9, 11, 11, 2]) == [(1, False), (2, False), (10, False), (12, False), (12, False), (3, False)]
    for place in (-1, 12):
        with pytest.raises(IndexError, match=f"frame {place} of a video of 12 frames"):
            list(read(folder, [place]))


def test_damaged_frames_show_the_nearest_earlier_one_and_a_video_ends_with_its_last_sound_frame(tmp_path: Path) -> None:
    folder = write(tmp_path / "clip")
    (folder / "img_00001.jpg").write_bytes(b"")
    sound = (folder / "img_00005.jpg").read_bytes()
    (folder / "img_00005.jpg").write_bytes(sound[: len(sound) * 3 // 4])
    (folder / "img_00006.jpg").write_bytes(b"no image")
    (folder / "img_00012.jpg").unlink()
    (folder / "img_00012.jpg").symlink_to("img_00012.jpg")
    assert probe(folder).frames == 11 and identity(folder)[0] > 0
    assert shown(folder, [0, 1, 4, 5, 6]) == [(2, True), (2, False), (4, True), (4, True), (7, False)]


def test_a_directory_without_frames_or_of_two_videos_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    mixed = write(tmp_path / "mixed", "a_{:03d}.jpg")
    write(mixed, "b_{:03d}.jpg")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "img_00001.jpg").write_bytes(b"no image")
    for folder, message in (
        (tmp_path / "empty", r"no frames \(\.jpg, \.jpeg, \.png, named by their numbers\)"),
        (mixed, r"frames of 2 sorts, such as 'a_001.jpg' and 'b_001.jpg'"),
        (broken, "no frame can be decoded"),
        (tmp_path / "nowhere", "cannot be read: No such file or directory"),
        (mixed / "a_001.jpg", "cannot be read: Not a directory"),
    ):
        with pytest.raises(DecodingError, match=message):
            probe(folder)
    assert not is_frame_folder(tmp_path / "empty") and not is_frame_folder(tmp_path / "nowhere")


def test_another_size_of_any_frame_is_another_identity(tmp_path: Path) -> None:
    folder = write(tmp_path / "clip")
    before = identity(folder)
    assert before == identity(folder) and before[0] == sum(path.stat().st_size for path in folder.iterdir())
    with (folder / "img_00007.jpg").open("ab") as stream:
        stream.write(b"\0")
    assert identity(folder)[0] == before[0] + 1 and identity(folder)[1] >= before[1]
