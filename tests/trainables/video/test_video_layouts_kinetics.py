"""Kinetics-400 and Kinetics-100 against small copies of their layouts written here, and against the released lists."""

import csv
import os
import re
from pathlib import Path

import pytest

from trainables.video.inventory import take_inventory
from trainables.video.layouts import read_videos
from trainables.video.videos import DataError, DataSource, Video, VideoSet

CLIPS = os.environ.get("AUXGRAPH_CLIPS")
COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split", "is_cc")
CLASSES = ("applying cream", "massaging person's head", "shooting goal (soccer)")


def clips(label: str, part: str) -> list[tuple[str, str]]:
    """(youtube_id, file stem) of the clips of a class: four for training, two for validation."""
    ids = [f"-{part[0]}{label[0]}_{number}_{part[0]}xyz" for number in range(4 if part == "train" else 2)]
    return [(own, f"{own}_{number:06d}_{number + 10:06d}") for number, own in enumerate(ids)]


def write_table(path: Path, part: str, classes: tuple[str, ...] = CLASSES) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(COLUMNS)
        for label in classes:
            rows.writerows((label, own, number, number + 10, part, 0) for number, (own, _) in enumerate(clips(label, part)))


def write_lists(lists: Path) -> Path:
    """The csvs as they are released: that of the test videos has no labels."""
    for part in ("train", "val"):
        write_table(lists / f"kinetics-400_{part}.csv", part)
    (lists / "kinetics-400_test.csv").write_text("youtube_id,time_start,time_end,split\n--6bJUbfpnQ,17,27,test\n")
    return lists


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(path.name.encode())


@pytest.fixture
def kinetics(tmp_path: Path) -> DataSource:
    root = tmp_path / "videos"
    for part in ("train", "val"):
        for label in CLASSES:
            for _, stem in clips(label, part):
                put(root / part / label / f"{stem}.mp4")
    return DataSource(root, write_lists(tmp_path / "lists"))


def read(source: DataSource, dataset: str = "kinetics400", split: int = 1) -> VideoSet:
    return read_videos(dataset, source, split=split, validation_fraction=0.25)


def content(videos: VideoSet) -> list[list[tuple[str, str, str]]]:
    """(class, group, file name) of the videos of each part: what does not depend on where they lie."""
    parts = (videos.train, videos.validation, videos.test)
    return [sorted((videos.classes[video.label], video.group, video.path.stem) for video in part) for part in parts]


def test_training_clips_are_carved_and_official_validation_clips_are_the_test_part(kinetics: DataSource) -> None:
    videos = read(kinetics)
    assert videos.classes == CLASSES and videos.labelled and (videos.missing, videos.skipped) == (0, ())
    assert [len(part) for part in (videos.train, videos.validation, videos.test)] == [9, 3, 6]
    assert {(video.label, video.group) for video in videos.test} == {
        (label, own) for label, name in enumerate(CLASSES) for own, _ in clips(name, "val")
    }
    assert {video.name.split("/")[0] for video in (*videos.train, *videos.validation)} == {"train"}
    assert all(video.path.is_file() for video in videos.train)


@pytest.mark.parametrize(
    "place",
    [
        "{part}/{folder}/{stem}.mp4",
        "videos_{part}/{folder}/{stem}.mkv",
        "{folder}/{stem}.webm",
        "k400/{part}/{folder}/{id}.mp4",
        "{part}/{stem}.MP4",
        "{id}.avi",
    ],
)
@pytest.mark.parametrize("written", [str, lambda label: label.replace(" ", "_"), str.title])
def test_the_layouts_of_the_common_downloaders_hold_the_same_videos(kinetics: DataSource, place: str, written) -> None:
    assert kinetics.root is not None
    expected = content(read(kinetics))
    moved = kinetics.root.parent / "moved"
    for part in ("train", "val"):
        for label in CLASSES:
            for own, stem in clips(label, part):
                put(moved / place.format(part=part, folder=written(label), stem=stem, id=own))
    videos = read(DataSource(moved, kinetics.splits))
    strip = re.compile(r"_\d{6}_\d{6}$")
    assert [[(c, g, strip.sub("", s)) for c, g, s in part] for part in content(videos)] == [
        [(c, g, strip.sub("", s)) for c, g, s in part] for part in expected
    ]
    assert videos.missing == 0


@pytest.mark.parametrize("place", [".", "annotations", "splits"])
def test_the_csvs_may_lie_inside_the_root(kinetics: DataSource, place: str) -> None:
    assert kinetics.root is not None
    expected = read(kinetics)
    write_lists(kinetics.root / place)
    assert read(DataSource(kinetics.root, None)) == expected


def test_labelled_test_clips_serve_only_where_no_validation_clips_are_listed(kinetics: DataSource) -> None:
    assert kinetics.root is not None and kinetics.splits is not None
    expected = content(read(kinetics))
    write_table(kinetics.splits / "kinetics-400_test.csv", "test")
    for label in CLASSES:
        for _, stem in clips(label, "test"):
            put(kinetics.root / "test" / label / f"{stem}.mp4")
    assert content(read(kinetics)) == expected
    (kinetics.splits / "kinetics-400_val.csv").unlink()
    assert {video.name.split("/")[0] for video in read(kinetics).test} == {"test"}


def test_a_partial_copy_is_counted_and_absent_classes_are_left_out(kinetics: DataSource) -> None:
    assert kinetics.root is not None
    for part in ("train", "val"):
        (kinetics.root / part / CLASSES[1]).rename(kinetics.root / part / "another class")
    for video in (kinetics.root / "train" / CLASSES[1]).parent.glob("another class/*"):
        video.rename(video.with_name(f"{video.stem}.part"))
    for video in (kinetics.root / "val" / "another class").iterdir():
        video.unlink()
    (kinetics.root / "val" / CLASSES[0] / f"{clips(CLASSES[0], 'val')[0][1]}.mp4").unlink()
    videos = read(kinetics)
    assert videos.classes == (CLASSES[0], CLASSES[2]) and videos.missing == 4 + 2 + 1
    assert {video.label for video in videos.train} == {0, 1}


def test_a_file_name_in_two_class_folders_is_two_videos_where_both_are_listed(kinetics: DataSource) -> None:
    assert kinetics.root is not None and kinetics.splits is not None
    own, stem = clips(CLASSES[0], "train")[0]
    put(kinetics.root / "train" / CLASSES[2] / f"{stem}.mp4")
    before = read(kinetics)
    assert [video.label for video in (*before.train, *before.validation) if video.path.stem == stem] == [0]
    with (kinetics.splits / "kinetics-400_train.csv").open("a") as stream:
        stream.write(f"{CLASSES[2]},{own},0,10,train,0\n{CLASSES[2]},{own},0,10,train,0\n")
    videos = read(kinetics)
    found = [video for video in (*videos.train, *videos.validation) if video.path.stem == stem]
    assert sorted((video.label, video.group) for video in found) == [(0, own), (2, own)]
    assert [(item.name, item.reason.split(" (")[0]) for item in videos.skipped] == [
        (f"train/{CLASSES[2]}/{stem}.mp4", "listed twice")
    ]
    sides = [{video.group for video in part} for part in (videos.train, videos.validation)]
    assert sides[0].isdisjoint(sides[1]), "clips of one YouTube video stay together, whatever their class"


def test_a_clip_in_the_folder_of_another_class_is_missing(kinetics: DataSource) -> None:
    assert kinetics.root is not None
    _, stem = clips(CLASSES[0], "train")[0]
    (kinetics.root / "train" / CLASSES[0] / f"{stem}.mp4").rename(kinetics.root / "train" / CLASSES[2] / f"{stem}.mp4")
    videos = read(kinetics)
    assert videos.missing == 1 and stem not in {video.path.stem for video in (*videos.train, *videos.validation)}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path,label\na,b\n", r"_train.csv:1: columns path,label; expected the columns label,youtube_id,time_start,"),
        ("a.mp4 3\nb.mp4 4\n", r"_train.csv:1: columns a.mp4 3; expected the columns label"),
        ("youtube_id,time_start,time_end,split\nx,1,2,train\n", r"_train.csv:1: columns youtube_id,.*; expected"),
        ("label,youtube_id,time_start,time_end,split\nx,y,1,train\n", r"_train.csv:2: not 5 values"),
        ("label,youtube_id,time_start,time_end,split\nx,y,1,2,train\n,y,1,2,train\n", r"_train.csv:3: an empty label"),
        ("label,youtube_id,time_start,time_end,split\nx,y,1.5,2,train\n", r"_train.csv:2: time_start '1.5'; expected whole"),
        ("label,youtube_id,time_start,time_end,split\nx,y,1,2,dev\n", r"_train.csv:2: split 'dev'; valid: train, val"),
        ("label,youtube_id,time_start,time_end,split\n", r"_train.csv: no rows; expected the columns"),
        ("", r"_train.csv:1: columns none; expected the columns"),
        ("label,youtube_id,time_start,time_end,split\nx,y,1,2,test\n", r"no clip for training in .*_train.csv"),
    ],
)
def test_a_bad_csv_is_named_with_its_line(kinetics: DataSource, table: str, message: str) -> None:
    assert kinetics.splits is not None
    (kinetics.splits / "kinetics-400_train.csv").write_text(table)
    with pytest.raises(DataError, match=message):
        read(kinetics)


def test_what_is_not_there_is_said_with_what_is_expected(kinetics: DataSource, tmp_path: Path) -> None:
    assert kinetics.splits is not None
    with pytest.raises(DataError, match=r"data.split 2; Kinetics has one official split"):
        read(kinetics, split=2)
    with pytest.raises(DataError, match=r"no \*train\*.csv or \*val\*.csv in .*empty; expected the csvs of Kinetics"):
        read(DataSource(kinetics.root, tmp_path / "empty"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        DataError, match=r"none of the 18 listed videos is there; the first is 'applying cream/-ta_0_txyz_000000_"
    ):
        read(DataSource(tmp_path / "empty", kinetics.splits))
    put(tmp_path / "empty" / "train" / "a.mp4")
    with pytest.raises(DataError, match=r"no training videos in class folders; .* use --data folder=DIR"):
        read(DataSource(tmp_path / "empty", None))
    (kinetics.splits / "kinetics-400_train.csv").write_bytes("label\nété\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"_train.csv: not a csv file in UTF-8"):
        read(kinetics)


def test_folders_of_parts_and_classes_serve_without_csvs(kinetics: DataSource) -> None:
    assert kinetics.root is not None
    put(kinetics.root / "train" / "stray.mp4")
    put(kinetics.root / "test" / CLASSES[0] / "unused.mp4")
    videos = read(DataSource(kinetics.root, None))
    assert content(videos) == content(read(kinetics))
    assert [item.name for item in videos.skipped] == ["train/stray.mp4"]


def test_class_folders_alone_serve_with_a_fifth_of_each_for_testing(tmp_path: Path) -> None:
    for label in ("a_b", "c"):
        for number in range(10):
            put(tmp_path / label / f"{label}id{number}_000001_000011.mp4")
    videos = read(DataSource(tmp_path, None))
    assert videos.classes == ("a b", "c")
    assert [len(part) for part in (videos.train, videos.validation, videos.test)] == [12, 4, 4]
    assert "a_bid" in min(video.group for video in videos.train) and "_0000" not in videos.train[0].group


def write_classes(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_kinetics100_is_the_listed_classes(kinetics: DataSource, tmp_path: Path) -> None:
    assert kinetics.splits is not None
    whole = read(kinetics)
    chosen = "Shooting_goal_(soccer) 320\napplying cream\n\nsnowkiting 12\n"
    beside = read(DataSource(kinetics.root, write_classes(kinetics.splits / "list.txt", chosen)), "kinetics100")
    assert beside.classes == (CLASSES[0], CLASSES[2]) and beside.missing == 1, "snowkiting counts as one missing video"
    kept = set(beside.classes)
    assert content(beside) == [[item for item in part if item[0] in kept] for part in content(whole)]
    (kinetics.splits / "list.txt").rename(kinetics.splits / "k100_classes.txt")
    assert read(kinetics, "kinetics100") == beside
    folders = read(DataSource(kinetics.root, write_classes(tmp_path / "elsewhere.txt", chosen)), "kinetics100")
    assert content(folders) == content(beside) and folders.missing == 1


def test_kinetics100_as_a_list_of_videos_names_the_training_videos(kinetics: DataSource) -> None:
    assert kinetics.splits is not None
    listed = [stem for _, stem in clips(CLASSES[0], "train")[:3]] + ["gone_000001_000011"]
    lines = "".join(f"applying_cream/{stem} 300\n" for stem in listed[:2]) + f"applying_cream/{listed[2]}.mp4 300\n"
    path = write_classes(kinetics.splits / "k100_train.list", lines + f"applying_cream/{listed[3]} 250\n")
    videos = read(DataSource(kinetics.root, path), "kinetics100")
    assert sorted(video.path.stem for video in (*videos.train, *videos.validation)) == sorted(listed[:3])
    assert [video.path.stem for video in videos.test] == [stem for _, stem in clips(CLASSES[0], "val")]
    assert videos.missing == 1
    write_classes(kinetics.splits / "k100_classes.txt", "applying_cream 320\n")
    (kinetics.splits / "kinetics-400_train.csv").unlink()
    assert read(kinetics, "kinetics100") == videos, "both lists in a directory are one, if they name the same classes"
    write_classes(kinetics.splits / "k100_classes.txt", "applying_cream 320\nabseiling 4\n")
    with pytest.raises(DataError, match=r"k100_classes.txt and .*k100_train.list name different classes, such as 'abseiling'"):
        read(kinetics, "kinetics100")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("applying cream\nApplying_cream 3\n", r"classes.txt:2: 'Applying_cream 3' is listed before, at .*classes.txt:1"),
        ("applying cream,320\n", r"classes.txt:1: 'applying cream,320'; expected 'class', 'class videos' or"),
        ("applying cream\napplying_cream/x_000001_000011 3\n", r"classes.txt:2: .*; expected 'class'"),
        ("a/b/c 3\n", r"classes.txt:1: 'a/b/c 3'; expected"),
        ("\n", r"classes.txt: no class in it; expected"),
        ("snowkiting\n", r"no clip for training in .*classes.txt or .*_train.csv"),
    ],
)
def test_a_bad_list_of_classes_is_named_with_its_line(kinetics: DataSource, text: str, message: str) -> None:
    assert kinetics.splits is not None
    write_classes(kinetics.splits / "classes.txt", text)
    with pytest.raises(DataError, match=message):
        read(kinetics, "kinetics100")


def test_kinetics100_needs_a_list_of_classes(kinetics: DataSource) -> None:
    with pytest.raises(DataError, match=r"no list of classes .* give one with --splits kinetics100=FILE"):
        read(kinetics, "kinetics100")
    with pytest.raises(DataError, match=r"data.split 3; Kinetics has one"):
        read(kinetics, "kinetics100", split=3)


@pytest.mark.parametrize("dataset", ["kinetics400", "kinetics100"])
def test_encoded_videos_are_examined(tmp_path: Path, write_video, dataset: str) -> None:
    write_lists(tmp_path)
    write_classes(tmp_path / "classes.txt", "applying_cream\n")
    for part, frames in (("train", 8), ("val", 9)):
        for _, stem in clips(CLASSES[0], part):
            write_video(tmp_path / part / "applying_cream" / f"{stem}.mp4", frames=frames)
    videos = take_inventory(read(DataSource(tmp_path, None), dataset), tmp_path / "cache")
    assert videos.skipped == () and videos.missing == (12 if dataset == "kinetics400" else 0)

    def frames_of(part: tuple[Video, ...]) -> list[int]:
        return [video.frames for video in part]

    assert [frames_of(part) for part in (videos.train, videos.validation, videos.test)] == [[8] * 3, [8], [9, 9]]


@pytest.mark.skipif(CLIPS is None, reason="AUXGRAPH_CLIPS is not set")
def test_the_released_lists(tmp_path: Path) -> None:
    """On a copy that has two classes of each part: all else that the lists name is counted as missing."""
    lists = Path(CLIPS or "") / "splits" / "kinetics"
    wanted = ("playing_piano", "eating_cake")
    trained = [line.split()[0] for line in (lists / "auxskd_k100_train.list").read_text().splitlines()]
    for name in trained:
        if name.startswith(wanted):
            put(tmp_path / "train" / f"{name}.mp4")
    with (lists / "kinetics-400_val.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["label"].replace(" ", "_") in wanted]
    for row in rows:
        times = f"{int(row['time_start']):06d}_{int(row['time_end']):06d}"
        put(tmp_path / "val" / row["label"] / f"{row['youtube_id']}_{times}.mp4")
    videos = read(DataSource(tmp_path, lists), "kinetics100")
    assert videos.classes == ("eating cake", "playing piano")
    assert len(videos.train) + len(videos.validation) == sum(name.startswith(wanted) for name in trained)
    assert len(videos.test) == len(rows)
    classes = {name.split("/")[0] for name in trained}
    with (lists / "kinetics-400_val.csv").open() as stream:
        official = sum(row["label"].replace(" ", "_") in classes for row in csv.DictReader(stream))
    assert videos.missing == len(trained) + official - sum(map(len, (videos.train, videos.validation, videos.test)))
