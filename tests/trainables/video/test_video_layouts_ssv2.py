"""Something-Something v2 against a small copy of its layout written here, in the form of the released annotations."""

import json
from pathlib import Path
from typing import Any

import pytest

from trainables.checks import check_layout
from trainables.video.inventory import take_inventory
from trainables.video.layouts import read_videos, recognise_layout
from trainables.video.videos import DataError, DataSource

LABELS = {"Holding something": "1", "Approaching something with your camera": "0", "Dropping something into something": "2"}
TEMPLATES = ["Holding [something]", "Approaching [something] with your camera"]


def item(video: int, template: str) -> dict[str, Any]:
    label = template.lower().replace("[something]", "a cup")
    return {"id": str(video), "label": label, "template": template, "placeholders": ["a cup"]}


TRAIN = [item(number, TEMPLATES[number % 2]) for number in range(100, 110)]
VALIDATION = [item(number, TEMPLATES[number % 2]) for number in range(200, 204)]


@pytest.fixture
def ssv2(tmp_path: Path) -> DataSource:
    """Ten training and four validation videos, of which one is absent, and a test list without labels."""
    videos = tmp_path / "20bn-something-something-v2"
    videos.mkdir()
    for one in [*TRAIN, *VALIDATION[:-1], {"id": "300"}]:
        (videos / f"{one['id']}.webm").write_bytes(one["id"].encode())
    lists = tmp_path / "lists"
    lists.mkdir()
    contents = {"labels": LABELS, "train": TRAIN, "validation": VALIDATION, "test": [{"id": "300"}]}
    for name, content in contents.items():
        (lists / f"something-something-v2-{name}.json").write_text(json.dumps(content, indent=2))
    return DataSource(videos, lists)


def test_official_validation_videos_are_the_test_part_and_classes_are_templates(ssv2: DataSource) -> None:
    videos = read_videos("ssv2", ssv2, split=1, validation_fraction=0.2)
    assert videos.classes == ("Approaching something with your camera", "Holding something") and videos.missing == 1
    assert sorted(video.name for video in videos.test) == ["200.webm", "201.webm", "202.webm"]
    assert (len(videos.train), len(videos.validation)) == (8, 2)
    assert {(int(video.path.stem) % 2, video.label) for video in videos.train} == {(0, 1), (1, 0)}


def test_annotations_of_either_release_are_recognised(ssv2: DataSource) -> None:
    assert ssv2.root is not None and ssv2.splits is not None
    before = read_videos("ssv2", ssv2, split=1, validation_fraction=0.2)
    for path in ssv2.splits.glob("*.json"):
        path.rename(path.with_name(path.name.removeprefix("something-something-v2-")))
    assert recognise_layout(ssv2.root, ssv2.splits) == "ssv2"
    assert read_videos("ssv2", ssv2, split=1, validation_fraction=0.2) == before
    ssv2.splits.rename(ssv2.root / "labels")
    assert recognise_layout(ssv2.root) == "ssv2"
    assert read_videos("ssv2", DataSource(ssv2.root, None), split=1, validation_fraction=0.2) == before


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "train",
            json.dumps([*TRAIN, {"id": "120"}], indent=2),
            r"train.json:\d+: .*'id': '120'.*; expected {\"id\":",
        ),
        ("train", '[\n{"id": "../1", "template": "Holding [something]"}\n]', r"train.json:2: .*; expected {\"id\""),
        (
            "train",
            '[\n\n{"id": "1", "template": "Losing [something]"}]',
            r"train.json:3: 'Losing \[something\]' is no class of",
        ),
        (
            "train",
            '[{"id": "1", "template": "Holding [something]"},\n{"id": 1, "template": "Holding [something]"}]',
            r":2: video 1 is",
        ),
        ("validation", json.dumps([TRAIN[0]]), r"validation.json:1: video 100 is listed before, at .*train.json:2"),
        ("train", '[{"id": "1", "template": "Holding [something]"}\n{"id": "2"}]', r"train.json:2: .*expected ',' or '\]'"),
        ("train", '{"id": "1"}', r"train.json:1: .*; expected '\[' and a list of videos"),
        ("train", "[" + "x" * 999, r"train.json:1: 'x{80}\.\.\.'; expected JSON"),
        ("labels", '{"Holding something": \n', r"labels.json:2: not JSON"),
        ("labels", '["Holding something"]', r"labels.json: expected classes with their numbers"),
    ],
)
def test_what_is_wrong_with_annotations_is_said_with_its_line(ssv2: DataSource, file: str, text: str, message: str) -> None:
    assert ssv2.splits is not None
    (ssv2.splits / f"something-something-v2-{file}.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_videos("ssv2", ssv2, split=1, validation_fraction=0.2)


def test_what_is_not_there_is_said_with_what_is_expected(ssv2: DataSource) -> None:
    with pytest.raises(DataError, match=r"no annotations of Something-Something v2 in .*--splits ssv2=DIR"):
        read_videos("ssv2", DataSource(ssv2.root, None), split=1, validation_fraction=0.2)
    with pytest.raises(DataError, match=r"data.split 2; Something-Something v2 has one official split"):
        read_videos("ssv2", ssv2, split=2, validation_fraction=0.2)


def test_webm_files_are_decoded_and_the_layout_keeps_its_contract(ssv2: DataSource, tmp_path: Path, write_video) -> None:
    assert ssv2.root is not None
    for number in (100, 101, 102, 103, 200, 201):
        write_video(ssv2.root / f"{number}.webm", frames=8, codec="libvpx-vp9")
    check_layout("ssv2", ssv2.root, ssv2.splits)
    videos = read_videos("ssv2", ssv2, split=1, validation_fraction=0.2)
    taken = take_inventory(videos, tmp_path, supervised=False)
    used = [*taken.train, *taken.validation, *taken.test]
    assert len(used) == 6 and {video.frames for video in used} == {8}
