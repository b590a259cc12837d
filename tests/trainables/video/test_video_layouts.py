"""UCF101 and what all layouts share, against directories and lists written here, and against the real clips."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from trainables.settings import LAYOUTS
from trainables.video.layouts import read_videos, recognise_layout
from trainables.video.videos import UNLABELLED, DataError, DataSource, Skipped, Video, VideoSet, join_videos, printable

CLIPS = os.environ.get("AUXGRAPH_CLIPS")
with_clips = pytest.mark.skipif(CLIPS is None, reason="AUXGRAPH_CLIPS is not set")


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def names(videos: tuple[Video, ...]) -> list[str]:
    return [video.name for video in videos]


@pytest.fixture
def ucf101(tmp_path: Path) -> DataSource:
    """A partial copy: of the classes Archery (1), Bowling (2) and Punch (3), the second is absent from the disk."""
    root, lists = tmp_path / "videos", tmp_path / "lists"
    lists.mkdir()
    (lists / "classInd.txt").write_text("1 Archery\n2 Bowling\n3 Punch\n")
    train = [f"{c}/v_{c}_g{g:02d}_c01.avi" for c in ("Archery", "Bowling", "Punch") for g in range(3, 13)]
    test = [f"{c}/v_{c}_g{g:02d}_c01.avi" for c in ("Archery", "Bowling", "Punch") for g in (1, 2)]
    numbers = {"Archery": 1, "Bowling": 2, "Punch": 3}
    (lists / "trainlist01.txt").write_text("".join(f"{n} {numbers[n.split('/')[0]]}\r\n" for n in train))
    (lists / "testlist01.txt").write_text("\n".join(test) + "\n\n")
    put(root, *(n for n in [*train, *test] if not n.startswith("Bowling") and "Punch_g12" not in n))
    return DataSource(root, lists)


def test_a_partial_copy_of_ucf101_is_counted_and_its_labels_are_dense(ucf101: DataSource) -> None:
    videos = read_videos("ucf101", ucf101, split=1, validation_fraction=0.2)
    assert videos.classes == ("Archery", "Punch")
    assert videos.missing == 12 + 1
    assert len(videos.train) + len(videos.validation) == 19 and len(videos.test) == 4
    assert {(video.name.split("/")[0], video.label) for video in videos.train} == {("Archery", 0), ("Punch", 1)}
    assert {video.group for video in videos.test} == {"Archery/g01", "Archery/g02", "Punch/g01", "Punch/g02"}
    assert sorted(video.label for video in videos.validation) == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("trainlist01.txt", "Archery v_Archery_g01_c01.avi 1", "trainlist01.txt:31: .*expected 'Class/video.avi'"),
        ("trainlist01.txt", "Archer/v_Archer_g01_c01.avi 1", "trainlist01.txt:31: class 'Archer' is not in classInd"),
        ("trainlist01.txt", "Archery/v_Archery_g20_c01.avi 2", "trainlist01.txt:31: class number 2 is not that of"),
        ("trainlist01.txt", "Archery/clip.avi 1", "trainlist01.txt:31: no group in 'clip.avi'"),
        (
            "testlist01.txt",
            "Archery/v_Archery_g03_c01.avi",
            "testlist01.txt:8: .*listed before, at .*trainlist01.txt:1",
        ),
        ("classInd.txt", "1" * 5000 + " Diving", "classInd.txt:4: '1{80}...'; expected a class number"),
        ("classInd.txt", "Diving", "classInd.txt:4: 'Diving'; expected a class number and a class name"),
        ("classInd.txt", "1 Diving", "classInd.txt:4: class '1 Diving' is listed twice"),
    ],
)
def test_a_bad_line_of_a_split_list_is_named(ucf101: DataSource, file: str, line: str, message: str) -> None:
    assert ucf101.splits is not None
    with (ucf101.splits / file).open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(DataError, match=message):
        read_videos("ucf101", ucf101, split=1, validation_fraction=0.2)


def test_what_is_not_there_is_said_with_what_is_expected(ucf101: DataSource, tmp_path: Path) -> None:
    def read(root: Path | None, splits: Path | None, split: int = 1, dataset: str = "ucf101") -> None:
        read_videos(dataset, DataSource(root, splits), split=split, validation_fraction=0.2)

    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"trainlist04.txt: no such list; .* has testlist01.txt, trainlist01.txt"):
        read(ucf101.root, ucf101.splits, split=4)
    with pytest.raises(DataError, match="expected the official lists of UCF101"):
        read(ucf101.root, None)
    with pytest.raises(DataError, match="expected the official lists of UCF101"):
        read(ucf101.root, empty)
    with pytest.raises(DataError, match="none of the 36 listed videos is there; the first is 'Archery/v_Arch"):
        read(empty, ucf101.splits)
    with pytest.raises(DataError, match="nowhere: no such directory"):
        read(tmp_path / "nowhere", ucf101.splits)
    with pytest.raises(DataError, match="give --data ucf101=DIR"):
        read(None, None)
    with pytest.raises(
        DataError, match=r"unknown dataset 'ucf'; did you mean 'ucf101'\?; valid: embedded, ucf101, hmdb51, ccv, ssv2"
    ):
        read(ucf101.root, None, dataset="ucf")
    with pytest.raises(DataError, match="expected one sub-folder per class"):
        read(empty, None, dataset="folder")


def test_the_split_lists_may_lie_inside_the_root(ucf101: DataSource) -> None:
    assert ucf101.root is not None and ucf101.splits is not None
    outside = read_videos("ucf101", ucf101, split=1, validation_fraction=0.2)
    ucf101.splits.rename(ucf101.root / "ucfTrainTestlist")
    assert read_videos("ucf101", DataSource(ucf101.root, None), split=1, validation_fraction=0.2) == outside


def test_a_class_that_leads_out_of_the_root_is_refused_with_its_line(ucf101: DataSource, tmp_path: Path) -> None:
    """A class `..` in the list would read videos beside the root."""
    assert ucf101.splits is not None
    put(tmp_path, "v_Secret_g05_c01.avi")
    with (ucf101.splits / "classInd.txt").open("a") as stream:
        stream.write("4 ..\n")
    with (ucf101.splits / "trainlist01.txt").open("a") as stream:
        stream.write("../v_Secret_g05_c01.avi 4\n")
    with pytest.raises(DataError, match=r"trainlist01\.txt:31: '\.\./v_Secret_g05_c01\.avi' is not below .*videos"):
        read_videos("ucf101", ucf101, split=1, validation_fraction=0.2)


def test_links_that_lead_nowhere_or_round_are_no_videos(ucf101: DataSource) -> None:
    assert ucf101.root is not None
    before = read_videos("ucf101", ucf101, split=1, validation_fraction=0.2)
    clip = ucf101.root / "Punch" / "v_Punch_g12_c01.avi"
    clip.symlink_to(clip)
    (ucf101.root / "Bowling").symlink_to(ucf101.root / "Bowling")
    assert read_videos("ucf101", ucf101, split=1, validation_fraction=0.2) == before
    assert recognise_layout(ucf101.root) == "ucf101"
    of_folders = read_videos("folder", DataSource(ucf101.root, None), split=1, validation_fraction=0)
    assert len(of_folders.train) + len(of_folders.test) == 23


def test_escape_sequences_in_names_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    clear = "\x1b[2J"
    put(tmp_path / "videos", f"{clear}stray.avi", "a/0.avi", "a/1.avi", f"b{clear}/0.avi", f"b{clear}/1.avi")
    videos = read_videos("folder", DataSource(tmp_path / "videos", None), split=1, validation_fraction=0.25)
    assert [item.name for item in videos.skipped] == [r"\x1b[2Jstray.avi"]
    assert videos.classes == ("a", f"b{clear}") and r"b\x1b[2J" in " ".join(videos.notes)
    assert clear not in " ".join(videos.notes)
    (tmp_path / f"{clear}lists").mkdir()
    with pytest.raises(DataError) as refused:
        read_videos("ucf101", DataSource(tmp_path / "videos", tmp_path / f"{clear}lists"), split=1, validation_fraction=0.25)
    assert r"\x1b[2Jlists" in str(refused.value) and clear not in str(refused.value)


def test_long_lines_are_cut_in_messages(ucf101: DataSource) -> None:
    assert ucf101.splits is not None
    (ucf101.splits / "trainlist01.txt").write_text("x" * 5000 + "\n")
    with pytest.raises(DataError, match=r"trainlist01\.txt:1: 'x{80}\.\.\.'; expected") as refused:
        read_videos("ucf101", ucf101, split=1, validation_fraction=0.2)
    assert len(str(refused.value)) < 400


def test_notes_of_a_union_say_which_set_they_are_on(ucf101: DataSource) -> None:
    videos = read_videos("ucf101", ucf101, split=1, validation_fraction=0.2)
    assert len(videos.notes) == 1
    union = join_videos([videos, replace(videos, dataset="other")])
    assert union.notes == (f"ucf101: {videos.notes[0]}", f"other: {videos.notes[0]}")
    assert replace(videos, notes=()).fingerprint() == videos.fingerprint()


def test_the_fingerprint_follows_the_content_and_not_the_place(ucf101: DataSource, tmp_path: Path) -> None:
    assert ucf101.root is not None
    before = read_videos("ucf101", ucf101, split=1, validation_fraction=0.2).fingerprint()
    moved = DataSource(ucf101.root.rename(tmp_path / "elsewhere"), ucf101.splits)
    after = read_videos("ucf101", moved, split=1, validation_fraction=0.2)
    assert after.fingerprint() == before
    test, train = after.fingerprint("test"), after.fingerprint("train")
    assert after.fingerprint("test", "train", "validation") == before and len(before) == 16
    after.test[0].path.write_bytes(b"another size")
    assert after.fingerprint("test") != test and after.fingerprint("train") == train
    with pytest.raises(ValueError, match="unknown part 'val'; valid: train, validation, test"):
        after.fingerprint("val")


def test_contents_swapped_at_equal_size_change_the_fingerprint(ucf101: DataSource) -> None:
    videos = read_videos("ucf101", ucf101, split=1, validation_fraction=0.2)
    one, other = videos.test[0].path, videos.train[0].path
    one.write_bytes(b"one")
    other.write_bytes(b"two")
    before = videos.fingerprint()
    one.write_bytes(b"two")
    other.write_bytes(b"one")
    assert videos.fingerprint() != before
    known = replace(videos, test=tuple(replace(video, content=video.name) for video in videos.test))
    one.unlink()
    assert known.fingerprint("test"), "a content that is known is read again"
    with pytest.raises(DataError, match=r"cannot be read: No such file"):
        videos.fingerprint("test")


def test_a_name_is_shown_without_what_a_terminal_obeys() -> None:
    assert printable("a/\x1b[2Jклип \udce9\n.avi") == r"a/\x1b[2Jклип \udce9\n.avi"


@with_clips
def test_the_official_lists_of_ucf101_on_the_three_classes_of_the_real_clips() -> None:
    clips = Path(CLIPS or "")
    source = DataSource(clips / "UCF-101", clips / "splits" / "ucf101")
    for split in (1, 2, 3):
        videos = read_videos("ucf101", source, split=split, validation_fraction=0.2)
        present = len(list((clips / "UCF-101").rglob("*.avi")))
        assert videos.classes == ("BabyCrawling", "Punch", "PushUps")
        assert len(videos.train) + len(videos.validation) + len(videos.test) == present
        assert videos.missing == 13320 - present
        everything = [{video.group for video in part} for part in (videos.train, videos.validation, videos.test)]
        assert sum(map(len, everything)) == len(set.union(*everything)) == 75


def one_set(dataset: str, *classes: str, labelled: bool = True) -> VideoSet:
    """Of each class a video for each part, all with the same names in every set."""
    parts = {
        part: tuple(
            Video(f"{c}/{part}.avi", Path(dataset, c), label, f"film {part}", 9, "av") for label, c in enumerate(classes)
        )
        for part in ("train", "validation", "test")
    }
    return VideoSet(dataset, classes, **parts, missing=2, skipped=(Skipped("a/x.avi", "empty"),), labelled=labelled)


def test_a_union_keeps_what_has_the_same_name_in_two_sets_apart() -> None:
    first, second = one_set("ucf101", "a", "b"), one_set("folder", "unlabelled", labelled=False)
    union = join_videos([first, second])
    assert union.dataset == "ucf101+folder" and not union.labelled and union.missing == 4
    assert union.classes == ("ucf101/a", "ucf101/b", "folder/unlabelled")
    assert [(v.name, v.label, v.group) for v in union.test] == [
        ("ucf101/a/test.avi", 0, "ucf101/film test"),
        ("ucf101/b/test.avi", 1, "ucf101/film test"),
        ("folder/unlabelled/test.avi", 2, "folder/film test"),
    ]
    assert [item.name for item in union.skipped] == ["ucf101/a/x.avi", "folder/a/x.avi"]
    assert [(v.path, v.frames, v.decoder) for v in union.train] == [
        (v.path, v.frames, v.decoder) for v in (*first.train, *second.train)
    ]
    assert join_videos([first, one_set("folder", "x")]).labelled
    assert join_videos([second]) is second
    for sets in ([], [first, second, first]):
        with pytest.raises(DataError, match=r"datasets to join: .*; expected different ones"):
            join_videos(sets)


def test_further_labels_move_with_the_first_in_a_union_and_a_video_without_any_stays_so() -> None:
    first, second = one_set("ucf101", "a", "b"), one_set("ccv", "x", "y")
    several, none = replace(second.test[0], others=(1,)), replace(second.test[1], label=UNLABELLED)
    union = join_videos([first, replace(second, test=(several, none))])
    assert [(video.label, video.others, video.labels) for video in union.test[2:]] == [(2, (3,), (2, 3)), (UNLABELLED, (), ())]


def test_the_fingerprint_covers_further_labels_where_there_are_any(ucf101: DataSource) -> None:
    """The first is written out: nothing but classes, parts, names, contents and labels goes in."""
    videos = read_videos("ucf101", ucf101, split=1, validation_fraction=0.2)
    written = json.dumps(videos.classes)
    for part in ("test", "train", "validation"):
        for video in sorted(videos.part(part), key=lambda video: video.name):
            content = hashlib.sha256(video.path.read_bytes()).hexdigest()[:32]
            written += json.dumps([part, video.name, content, video.label])
    assert videos.fingerprint() == hashlib.sha256(written.encode()).hexdigest()[:16]
    more = replace(videos, test=(replace(videos.test[0], others=(1,)), *videos.test[1:]))
    assert more.fingerprint("test") != videos.fingerprint("test")


def test_the_fingerprint_of_a_union_tells_which_set_a_video_is_from(ucf101: DataSource) -> None:
    videos = read_videos("ucf101", ucf101, split=1, validation_fraction=0.2)
    other = replace(videos, dataset="other")
    union = join_videos([videos, other]).fingerprint()
    assert union == join_videos([videos, other]).fingerprint()
    assert len({union, videos.fingerprint(), join_videos([other, videos]).fingerprint()}) == 3


@pytest.mark.parametrize(
    ("files", "layout"),
    [
        (["classInd.txt", "Punch/a.avi"], "ucf101"),
        (["ucfTrainTestlist/classInd.txt", "Punch/a.avi"], "ucf101"),
        (["Punch/v_Punch_g08_c01.avi"], "ucf101"),
        (["clap_test_split1.txt"], "hmdb51"),
        (["testTrainMulti_7030_splits/clap_test_split3.txt", "clap/a.avi"], "hmdb51"),
        (["clap/April_09_clap_u_nm_np1_ba_goo_0.avi"], "hmdb51"),
        (["trainVidID.txt", "testVidID.txt", "-J7lRo9a7Ks.mp4"], "ccv"),
        (["videos/-J7lRo9a7Ks.mp4"], "folder"),
        (["annotations/train.csv", "train/clap/a.mp4"], "kinetics400"),
        (["kinetics-400_val.csv", "list_of_classes_400.txt", "clap/a.mp4"], "kinetics400"),
        (["kinetics-400_train.csv", "classes.txt", "clap/a.mp4"], "kinetics100"),
        (["train/clapping/--6bJUbfpnQ_000017_000027.mp4"], "kinetics400"),
        (["clap/camera_120304_101112.mp4"], "folder"),
        (["clap/a.webm"], "folder"),
        (["a.mov"], "folder"),
        (["train.csv", "classes.txt", "notes.txt"], "kinetics100"),
        (["notes.txt"], None),
        (
            ["something-something-v2-labels.json", *(f"something-something-v2-{p}.json" for p in ("train", "validation"))],
            "ssv2",
        ),
        (["labels/labels.json", "labels/train.json", "labels/validation.json", "videos/1.webm"], "ssv2"),
        (["annotations/Diving48_V2_train.json", "annotations/Diving48_V2_test.json", "rgb/a_00000.mp4"], "diving48"),
        (["Diving48_train.json", "Diving48_test.json"], "diving48"),
        (["train.txt", "clap/a.mp4"], "lists"),
        (["train.txt", "classes.txt", "clap/a.mp4"], "lists"),
        (["annotations/k400_train_list_videos.txt", "train/clapping/--6bJUbfpnQ_000017_000027.mp4"], "lists"),
        (["training.txt", "clap/a.mp4"], "folder"),
        (["train.md", "clap/a.mp4"], "folder"),
    ],
)
def test_a_layout_is_recognised_by_its_lists_or_by_the_names_of_its_videos(
    tmp_path: Path, files: list[str], layout: str | None
) -> None:
    put(tmp_path, *files)
    for table in tmp_path.rglob("*.csv"):
        table.write_text("label,youtube_id,time_start,time_end,split\n")
    for path in tmp_path.rglob("*train*.txt"):
        path.write_text("clap/a.mp4 0\n")
    for path in tmp_path.glob("classes.txt"):
        path.write_text("clapping\n")
    for path in tmp_path.glob("list_of_classes_400.txt"):
        path.write_text("".join(f"class {'x' * number}\n" for number in range(1, 401)))
    assert recognise_layout(tmp_path) == layout
    assert recognise_layout(tmp_path / "nowhere") is None


def test_lists_that_lie_elsewhere_say_what_a_directory_of_videos_is(tmp_path: Path) -> None:
    videos, lists = tmp_path / "videos", tmp_path / "lists"
    put(videos, "clap/a.avi")
    put(lists, "u/classInd.txt", "h/clap_test_split1.txt", "c/trainVidID.txt", "c/testVidID.txt", "k/classes.txt")
    (lists / "k" / "val.csv").write_text("label,youtube_id,time_start,time_end,split\n")
    (lists / "folds.csv").write_text("path,label\n")
    put(
        lists,
        "s/labels.json",
        "s/train.json",
        "s/validation.json",
        "d/Diving48_train.json",
        "d/Diving48_test.json",
        "l/train.csv",
    )
    (lists / "l" / "train.csv").write_text("clap/a.avi 3\n")
    put(lists, "l/classes.txt")
    expected = {
        "u": "ucf101",
        "h": "hmdb51",
        "c": "ccv",
        "k": "kinetics100",
        "k/classes.txt": "kinetics100",
        "k/val.csv": "kinetics400",
        "folds.csv": "folder",
        "s": "ssv2",
        "d": "diving48",
        "l": "lists",
    }
    assert {splits: recognise_layout(videos, lists / splits) for splits in expected} == expected
    assert set(LAYOUTS) == {*expected.values(), "folder"}


@with_clips
def test_the_real_clips_are_recognised() -> None:
    clips = Path(CLIPS or "")
    assert recognise_layout(clips / "UCF-101") == "ucf101"
    assert recognise_layout(clips / "UCF-101", clips / "splits" / "ucf101") == "ucf101"
    assert recognise_layout(clips / "ut-interaction", clips / "splits" / "ut-interaction") == "folder"
