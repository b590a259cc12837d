"""The inventory against files of which it is known what is wrong with them."""

import errno
import hashlib
import json
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import pytest

from trainables.checksums import sealed_line
from trainables.video import findings, inventory
from trainables.video import videos as videos_module
from trainables.video.decoding import RULES
from trainables.video.findings import Finding, add_findings, read_findings
from trainables.video.inventory import take_inventory
from trainables.video.layouts import read_videos
from trainables.video.videos import DataError, DataSource, VideoSet


@pytest.fixture
def videos(tmp_path: Path, write_video) -> VideoSet:
    """Two classes of four good videos each; class b has four bad ones, too."""
    root = tmp_path / "videos"
    for label in "ab":
        for index in range(4):
            write_video(root / label / f"{index}.avi", frames=8 + index)
    write_video(root / "b" / "one.mp4", frames=1)
    (root / "b" / "empty.avi").touch()
    (root / "b" / "text.avi").write_text("no video")
    whole = write_video(root / "b" / "cut.mp4", frames=20).read_bytes()
    (root / "b" / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    return read_videos("folder", DataSource(root, None), split=1, validation_fraction=0.25)


def everything(videos: VideoSet) -> list:
    return [*videos.train, *videos.validation, *videos.test]


def test_unusable_videos_are_skipped_with_the_reason_and_the_others_counted(videos: VideoSet, tmp_path: Path) -> None:
    taken = take_inventory(videos, tmp_path)
    assert {item.name: item.reason.split(":")[0] for item in taken.skipped} == {
        "b/one.mp4": "one frame",
        "b/empty.avi": "empty file",
        "b/text.avi": "not a readable video",
        "b/cut.mp4": "not a readable video",
    }
    assert {video.name: video.frames for video in everything(taken)} == {
        f"{label}/{index}.avi": 8 + index for label in "ab" for index in range(4)
    }
    assert all(video.decoder for video in everything(taken))


def test_a_second_inventory_probes_nothing_but_what_changed(videos: VideoSet, tmp_path: Path, write_video, monkeypatch) -> None:
    first = take_inventory(videos, tmp_path)
    probed = []
    original = inventory.probe
    monkeypatch.setattr(inventory, "probe", lambda path, *_: probed.append(path.name) or original(path))
    assert take_inventory(videos, tmp_path) == first and probed == []
    write_video(tmp_path / "videos" / "a" / "2.avi", frames=30)
    again = take_inventory(videos, tmp_path)
    assert probed == ["2.avi"] and 30 in {video.frames for video in everything(again)}
    probed.clear()
    monkeypatch.setattr(inventory, "decoder_versions", dict)
    for video in everything(videos):
        os.utime(video.path, (0, 0))
    assert take_inventory(videos, tmp_path) == again and probed == [], "without decoders, what was found holds"


def test_a_data_set_that_was_copied_is_hashed_and_not_probed(videos: VideoSet, tmp_path: Path, monkeypatch) -> None:
    first = take_inventory(videos, tmp_path)
    probed = []
    monkeypatch.setattr(inventory, "probe", lambda path, *_: probed.append(path))
    for video in everything(videos):
        content = video.path.read_bytes()
        video.path.unlink()
        video.path.write_bytes(content)
    assert take_inventory(videos, tmp_path) == first and probed == []


def test_an_edit_of_equal_size_with_its_time_set_back_is_seen(videos: VideoSet, tmp_path: Path) -> None:
    first = take_inventory(videos, tmp_path)
    path = videos.train[0].path
    status, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = take_inventory(videos, tmp_path)
    assert [video.content for video in everything(again)] != [video.content for video in everything(first)]
    assert again.fingerprint() != first.fingerprint()


def test_a_digit_changed_in_the_findings_is_noticed(videos: VideoSet, tmp_path: Path) -> None:
    first = take_inventory(videos, tmp_path)
    file = tmp_path / "inventory-folder.jsonl"
    whole = file.read_text()
    file.write_text(whole.replace('", 9, "pyav"', '", 8, "pyav"'))
    assert file.read_text() != whole
    assert take_inventory(videos, tmp_path) == first and sorted(file.read_text()) == sorted(whole)


def test_findings_are_appended_by_time_and_each_is_written_once(videos: VideoSet, tmp_path: Path, monkeypatch) -> None:
    written = []
    original = inventory.add_findings
    monkeypatch.setattr(inventory, "add_findings", lambda file, found: written.append(len(found)) or original(file, found))
    monkeypatch.setattr(inventory, "_SAVE_EVERY", -1.0)
    first = take_inventory(videos, tmp_path)
    assert written == [1] * 12 + [0]
    file = tmp_path / "inventory-folder.jsonl"
    assert file.read_text().count("\n") == 12
    assert take_inventory(videos, tmp_path) == first and written[13:] == [0] and file.read_text().count("\n") == 12


def test_the_last_line_of_a_video_counts_and_old_ones_are_cleared_away(tmp_path: Path) -> None:
    file = tmp_path / "findings"
    found = Finding(1, 2, 3, "content", 4, "pyav", "")
    for frames in range(3):
        add_findings(file, {"a": found._replace(frames=frames), "b": found})
    assert read_findings(file) == {"a": found._replace(frames=2), "b": found}
    assert file.read_text().count("\n") == 2, "six lines of two videos"


@pytest.mark.parametrize("cut", range(2, 60, 7))
def test_a_line_that_a_crash_cut_off_costs_itself_alone(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "findings"
    found = Finding(1, 2, 3, "content", 4, "pyav", "")
    add_findings(file, {"a": found, "b": found})
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size - cut)
    add_findings(file, {"c": found})
    assert read_findings(file) == {"a": found, "c": found}


def test_processes_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "findings"

    def add(of: str) -> None:
        for number in range(50):
            names = [f"{of}-{number}-{place}" for place in range(20)]
            add_findings(file, {name: Finding(1, 2, 3, "content" * 9, 4, "pyav", "") for name in names})

    processes = [multiprocessing.get_context("fork").Process(target=add, args=(name,)) for name in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(read_findings(file)) == 2000 and file.read_text().count("\n") == 2000


def test_a_fingerprint_is_computed_once_of_what_an_inventory_was_taken(videos: VideoSet, tmp_path: Path, monkeypatch) -> None:
    taken = take_inventory(videos, tmp_path)
    found = [taken.fingerprint("train"), taken.fingerprint(), taken.fingerprint("test", "train")]
    assert replace(taken, notes=("another",)).fingerprint("train") == found[0], "computed anew"
    monkeypatch.setattr(videos_module.hashlib, "sha256", lambda *_: pytest.fail("computed again"))
    assert [taken.fingerprint("train"), taken.fingerprint(), taken.fingerprint("train", "test")] == found


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]\n",
        b"\xff\n",
        b'{"found": [1, 2, 3, "", 4, "pyav", ""], "name": "a/0.avi", "rules": 1}\n',
        sealed_line({"name": "a/0.avi", "found": [1, 2], "rules": RULES}),
        sealed_line({"name": "a/0.avi", "found": [1, 2, 3, "", 4, "pyav", ""], "rules": RULES - 1}),
    ],
)
def test_a_damaged_file_of_findings_is_ignored_and_replaced(videos: VideoSet, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "inventory-folder.jsonl"
    file.write_bytes(content)
    taken = take_inventory(videos, tmp_path)
    assert len(everything(taken)) == 8
    assert len(read_findings(file)) == 12
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [file.name]


def test_findings_that_cannot_be_written_are_done_without(videos: VideoSet, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert len(everything(take_inventory(videos, tmp_path / "file"))) == 8


def test_a_fingerprint_is_that_of_json_whatever_the_names(videos: VideoSet, tmp_path: Path) -> None:
    """As it has been since the first version: keys of stages depend on it."""
    names = ("a/1.avi", 'b/"2" \\ ü\n.avi', "c/\U0001f600\x7f.avi", "d/e/f")
    train = tuple(replace(videos.train[0], name=name, content=f"{at:032x}", others=(7,) * at) for at, name in enumerate(names))
    expected = hashlib.sha256(json.dumps(videos.classes).encode())
    for video in sorted(train, key=lambda video: video.name):
        expected.update(json.dumps(["train", video.name, video.content, video.label, *video.others]).encode())
    assert replace(videos, train=train).fingerprint("train") == expected.hexdigest()[:16]


def test_a_class_without_training_videos_is_an_error(videos: VideoSet, tmp_path: Path) -> None:
    bad = tuple(video for video in videos.train if video.label == 0 or video.name in ("b/text.avi", "b/empty.avi"))
    with pytest.raises(DataError, match=r"no training video of 1 of 2 classes: b\. .*skipped: .*b/"):
        take_inventory(replace(videos, train=bad), tmp_path)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("call", ["write_atomically", "Path.mkdir"])
def test_an_error_of_the_disk_costs_an_inventory_and_nothing_else(
    videos: VideoSet, tmp_path: Path, monkeypatch, call: str, number: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    first = take_inventory(videos, tmp_path)
    (tmp_path / "inventory-folder.jsonl").write_text("damaged")
    owner, _, name = call.rpartition(".")
    monkeypatch.setattr(getattr(findings, owner) if owner else findings, name, fail)
    os.utime(videos.train[0].path)
    assert take_inventory(videos, tmp_path) == first
