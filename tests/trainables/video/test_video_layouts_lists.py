"""`path label` lists against small directories and lists written here, in the forms that the common readers write."""

from pathlib import Path

import pytest

from trainables.checks import check_layout
from trainables.video.inventory import take_inventory
from trainables.video.layouts import read_videos, recognise_layout
from trainables.video.videos import DataError, DataSource, Video, VideoSet

TRAIN = "".join(f"clap/{n}.mp4 0\nrun fast/{n}.mp4 1\n" for n in range(5))
VAL = "clap/5.mp4 0\nrun fast/5.mp4 1\n"
TEST = "clap/6.mp4 0\nrun fast/6.mp4 1\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two class folders of seven files each."""
    for name in (f"{folder}/{n}.mp4" for folder in ("clap", "run fast") for n in range(7)):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).write_bytes(name.encode())
    return tmp_path / "videos"


def read(root: Path, lists: dict[str, str], split: int = 1, fraction: float = 0.2) -> VideoSet:
    place = root.parent / "lists"
    place.mkdir(exist_ok=True)
    for name, text in lists.items():
        (place / name).write_bytes(text.encode())
    assert recognise_layout(root, place) == "lists"
    return read_videos("lists", DataSource(root, place), split=split, validation_fraction=fraction)


def names(videos: tuple[Video, ...]) -> list[str]:
    return sorted(video.name for video in videos)


def with_frames(text: str) -> str:
    return text.replace(".mp4 ", ".mp4 163 ")


@pytest.mark.parametrize(
    "form",
    [str, with_frames, lambda text: text.replace(".mp4 ", ".mp4,"), lambda text: "\ufeff" + text.replace("\n", "\r\n\r\n")],
    ids=["blank", "frames", "comma", "windows"],
)
def test_every_form_of_a_line_names_the_same_videos(root: Path, form) -> None:
    videos = read(root, {"train.csv": form(TRAIN), "val.csv": form(VAL), "test.csv": form(TEST)})
    assert videos.classes == ("0", "1") and videos.missing == 0 and videos.notes == ()
    assert names(videos.validation) == ["clap/5.mp4", "run fast/5.mp4"] and names(videos.test) == [
        "clap/6.mp4",
        "run fast/6.mp4",
    ]
    assert len(videos.train) == 10 and {(v.name.split("/")[0], v.label) for v in videos.train} == {("clap", 0), ("run fast", 1)}


@pytest.mark.parametrize(
    "test", [{}, {"test.csv": VAL}, {"test.csv": "clap/6.mp4\nrun fast/6.mp4\n"}], ids=["none", "same", "bare"]
)
def test_validation_videos_are_the_test_part_where_there_is_no_other(root: Path, test: dict[str, str]) -> None:
    videos = read(root, {"train.csv": TRAIN, "val.csv": VAL, **test})
    assert names(videos.test) == ["clap/5.mp4", "run fast/5.mp4"]
    assert len(videos.validation) == 2 and len(videos.train) == 8
    assert videos.notes[0].startswith("validation: 20% asked for, 20.0% held out")


def test_a_video_that_a_list_repeats_counts_once(root: Path) -> None:
    videos = read(root, {"train.csv": TRAIN + "clap/0.mp4 0\n", "test.csv": TEST})
    assert len(videos.train) + len(videos.validation) == 10
    assert [item.name for item in videos.skipped] == ["clap/0.mp4"] and "train.csv:11" in videos.skipped[0].reason


def test_a_training_list_alone_gives_a_fifth_for_testing(root: Path) -> None:
    videos = read(root, {"train.txt": TRAIN})
    assert (len(videos.train), len(videos.validation), len(videos.test)) == (6, 2, 2)
    assert [note.split(":")[0] for note in videos.notes] == ["test", "validation"]


def test_the_lists_of_the_split_are_read_and_those_of_videos_rather_than_of_frames(root: Path) -> None:
    lists = {
        "x_train_split_1_videos.txt": TRAIN,
        "x_train_split_1_rawframes.txt": "clap/0 163 0\n",
        "x_val_split_1_videos.txt": VAL,
        "x_train_split_2_videos.txt": VAL,
        "x_val_split_2_videos.txt": TEST,
    }
    assert names(read(root, lists).test) == ["clap/5.mp4", "run fast/5.mp4"]
    assert names(read(root, lists, split=2).test) == ["clap/6.mp4", "run fast/6.mp4"]
    with pytest.raises(DataError, match=r"no list of split 3 \(train\); splits of which there are lists: 1, 2"):
        read(root, lists, split=3)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("label_map_x.txt", "hand clapping\nrunning 2\n"),
        ("classes.txt", "0 hand clapping\n1 running 2\n"),
        ("labels.csv", "id,name\n1,running 2\n0,hand clapping\n"),
        ("class_list.txt", "running 2 1\nhand clapping 0\n"),
    ],
)
def test_classes_are_named_by_a_file_beside_the_lists(root: Path, name: str, text: str) -> None:
    videos = read(root, {"train.csv": TRAIN, "test.csv": TEST, name: text})
    assert videos.classes == ("hand clapping", "running 2")
    assert {(v.name.split("/")[0], v.label) for v in videos.test} == {("clap", 0), ("run fast", 1)}


def test_lists_without_labels_serve_for_pretraining(root: Path) -> None:
    """`path 0 -1` is how VideoMAE lists videos for pretraining."""
    videos = read(root, {"train.csv": TRAIN.replace("mp4 1", "mp4 0").replace("mp4 0", "mp4 0 -1")})
    assert not videos.labelled and videos.classes == ("unlabelled",)
    assert len(videos.train) == 8 and not videos.test


def test_clips_that_were_cut_from_one_video_stay_together(root: Path) -> None:
    for number in range(12):
        (root / f"v_Run_g0{number // 4}_c0{number % 4}.avi").write_bytes(b"x")
    train = "".join(f"v_Run_g0{number // 4}_c0{number % 4}.avi 0\n" for number in range(12))
    videos = read(root, {"train.csv": train, "test.csv": TEST})
    assert len(videos.validation) == 4 and len({video.group for video in videos.validation}) == 1


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"train.csv": TRAIN + "clap/5.mp4 kick\n"}, r"train.csv:11: 'clap/5.mp4 kick'; expected 'path label'"),
        ({"train.csv": TRAIN + "clap/5 1 3 5 7\n"}, r"train.csv:11: 'clap/5 1 3 5 7'; expected 'path label'"),
        ({"train.csv": TRAIN + "z" * 999 + "\n"}, r"train.csv:11: 'z{80}\.\.\.'; expected"),
        ({"train.csv": TRAIN + "../videos/clap/0.mp4 1\n"}, r"train.csv:11: '../videos/clap/0.mp4' is not below"),
        ({"train.csv": TRAIN + "/home/me/0.mp4 1\n"}, r"train.csv:11: '/home/me/0.mp4' is not below"),
        ({"train.csv": TRAIN + "clap/5.mp4\n"}, r"train.csv:11: 'clap/5.mp4' has no label, and others have"),
        (
            {"train.csv": TRAIN + "clap/0.mp4 1\n"},
            r"train.csv:11: 'clap/0.mp4' is of class 1, and of class 0 at .*train.csv:1$",
        ),
        (
            {"train.csv": TRAIN, "test.csv": "clap/3.mp4 0\n"},
            r"test.csv:1: 'clap/3.mp4' is in test, and in train at .*train.csv:7",
        ),
        ({"train.csv": TRAIN, "classes.txt": "clapping\n"}, r"train.csv:2: class 1; .*classes.txt names 1, 0 to 0"),
        ({"train.csv": TRAIN, "classes.txt": "run\nrun\n"}, r"classes.txt:2: class 'run' \(1\) is listed twice"),
        ({"train.csv": TRAIN, "a_train.csv": TRAIN}, r"several lists of train videos: a_train.csv, train.csv; expected one"),
        ({"train.csv": "clap/0 163 0\n"}, r"none of the 1 listed videos is there; the first is 'clap/0'"),
        ({"train.csv": TRAIN, "val.csv": "\n"}, r"val.csv: no video in it"),
    ],
)
def test_what_is_wrong_with_a_list_is_said_with_its_line(root: Path, lists: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(root, lists)


def test_a_place_without_lists_is_named(root: Path) -> None:
    (root.parent / "val.csv").write_text(VAL)
    for splits, message in (
        (None, "no list of videos in .*expected train.csv, val.csv"),
        (root.parent / "val.csv", "not a directory; give the one that holds the lists"),
        (root.parent, "lists of validation videos, and none of training videos"),
    ):
        with pytest.raises(DataError, match=message):
            read_videos("lists", DataSource(root, splits), split=1, validation_fraction=0.2)


def test_videos_in_lists_are_decoded_and_the_layout_keeps_its_contract(tmp_path: Path, write_video) -> None:
    for number in range(6):
        write_video(tmp_path / f"{number}.mp4", frames=8)
    (tmp_path / "train.txt").write_text("0.mp4 0\n1.mp4 1\n2.mp4 0\n3.mp4 1\n")
    (tmp_path / "val.txt").write_text("4.mp4 0\n5.mp4 1\n")
    check_layout("lists", tmp_path)
    videos = take_inventory(read_videos("lists", DataSource(tmp_path, None), split=1, validation_fraction=0.25), tmp_path)
    assert {video.frames for video in (*videos.train, *videos.validation, *videos.test)} == {8}
