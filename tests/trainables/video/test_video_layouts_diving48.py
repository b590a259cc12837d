"""Diving48 against a small copy of its layout written here, in the form of the released annotations."""

import json
from pathlib import Path
from typing import Any

import pytest

from trainables.checks import check_layout
from trainables.video.inventory import take_inventory
from trainables.video.layouts import read_videos, recognise_layout
from trainables.video.videos import DataError, DataSource

VOCABULARY = [["Back", "15som", "05Twis", "FREE"], ["Back", "2som", "NoTwis", "TUCK"], ["Forward", "15som", "1Twis", "FREE"]]


def item(competition: str, number: int, label: int) -> dict[str, Any]:
    return {"vid_name": f"{competition}_{number:05d}", "label": label, "start_frame": 0, "end_frame": 107}


COMPETITIONS = ("8pSLDUjPvyE", "_8Vy3dlHg2w", "a")
TRAIN = [item(competition, number, 2 * (number % 2)) for competition in COMPETITIONS for number in range(4)]
TEST = [item("2x00lRzlTVQ", number, 2 * (number % 2)) for number in range(3)]


@pytest.fixture
def diving48(tmp_path: Path) -> DataSource:
    """Clips of three competitions for training and of one for testing, of which one is absent."""
    for one in [*TRAIN, *TEST[:-1]]:
        path = tmp_path / "videos" / "rgb" / f"{one['vid_name']}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(one["vid_name"].encode())
    lists = tmp_path / "lists"
    lists.mkdir()
    for name, content in {"V2_train": TRAIN, "V2_test": TEST, "vocab": VOCABULARY}.items():
        (lists / f"Diving48_{name}.json").write_text(json.dumps(content))
    return DataSource(tmp_path / "videos", lists)


def test_competitions_stay_whole_and_classes_are_those_of_the_vocabulary(diving48: DataSource) -> None:
    videos = read_videos("diving48", diving48, split=1, validation_fraction=0.3)
    assert videos.classes == ("Back 15som 05Twis FREE", "Forward 15som 1Twis FREE") and videos.missing == 1
    assert {video.group for video in (*videos.train, *videos.validation)} == set(COMPETITIONS)
    assert len(videos.validation) == 4 and len({video.group for video in videos.validation}) == 1
    assert sorted(video.name for video in videos.test) == ["rgb/2x00lRzlTVQ_00000.mp4", "rgb/2x00lRzlTVQ_00001.mp4"]


def test_annotations_of_either_version_and_place_are_recognised(diving48: DataSource) -> None:
    assert diving48.root is not None and diving48.splits is not None
    before = read_videos("diving48", diving48, split=1, validation_fraction=0.3)
    assert recognise_layout(diving48.root, diving48.splits) == "diving48"
    for path in diving48.splits.glob("*V2*"):
        path.rename(path.with_name(path.name.replace("V2_", "")))
    diving48.splits.rename(diving48.root / "annotations")
    assert recognise_layout(diving48.root) == "diving48"
    assert read_videos("diving48", DataSource(diving48.root, None), split=1, validation_fraction=0.3) == before


def test_competitions_that_the_official_split_has_on_both_sides_are_counted(diving48: DataSource) -> None:
    assert diving48.splits is not None
    (diving48.splits / "Diving48_V2_test.json").write_text(json.dumps([*TEST, TRAIN[0]]))
    (diving48.splits / "Diving48_V2_train.json").write_text(json.dumps(TRAIN[1:]))
    notes = read_videos("diving48", diving48, split=1, validation_fraction=0.3).notes
    assert notes[0] == "1 of 3 test videos are of groups (films, scenes) that training videos are of, by its lists"


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("V2_train", '[\n{"vid_name": "a_00000"}]', r"V2_train.json:2: .*; expected {\"vid_name\": \"_8Vy3dlHg2w_00000\""),
        ("V2_train", '[\n{"vid_name": "../a_00000", "label": 1}]', r"V2_train.json:2: .*; expected {\"vid_name\""),
        ("V2_train", '[{"vid_name": "a_00000", "label": 3}]', r"V2_train.json:1: label 3 of a_00000; .* has classes 0 to 2"),
        ("V2_test", json.dumps([TRAIN[0]]), r"V2_test.json:1: video 8pSLDUjPvyE_00000 is listed before, at .*V2_train.json:1"),
        ("vocab", "[", r"vocab.json:1: not JSON"),
        ("vocab", '["Back"]', r"vocab.json: expected a list of classes"),
    ],
)
def test_what_is_wrong_with_annotations_is_said_with_its_line(diving48: DataSource, file: str, text: str, message: str) -> None:
    assert diving48.splits is not None
    (diving48.splits / f"Diving48_{file}.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_videos("diving48", diving48, split=1, validation_fraction=0.3)


def test_what_is_not_there_is_said_with_what_is_expected(diving48: DataSource) -> None:
    assert diving48.splits is not None
    with pytest.raises(DataError, match=r"no annotations of Diving48 in .*--splits diving48=DIR"):
        read_videos("diving48", DataSource(diving48.root, None), split=1, validation_fraction=0.3)
    with pytest.raises(DataError, match=r"data.split 2; Diving48 has one official split"):
        read_videos("diving48", diving48, split=2, validation_fraction=0.3)
    (diving48.splits / "Diving48_vocab.json").unlink()
    with pytest.raises(DataError, match=r"Diving48_vocab.json: no such file"):
        read_videos("diving48", diving48, split=1, validation_fraction=0.3)


def test_clips_are_decoded_and_the_layout_keeps_its_contract(diving48: DataSource, tmp_path: Path, write_video) -> None:
    assert diving48.root is not None
    for one in [*TRAIN, *TEST[:-1]]:
        write_video(diving48.root / "rgb" / f"{one['vid_name']}.mp4", frames=8)
    check_layout("diving48", diving48.root, diving48.splits)
    taken = take_inventory(read_videos("diving48", diving48, split=1, validation_fraction=0.3), tmp_path)
    assert {video.frames for video in (*taken.train, *taken.validation, *taken.test)} == {8}
