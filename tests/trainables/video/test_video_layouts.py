"""Layouts against directories and lists written here, and against the real clips with the official lists."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.video.layouts import DataError, DataSource, Video, VideoSet, carve_validation, read_videos

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
    with pytest.raises(DataError, match="unknown dataset 'ucf'; valid: embedded, folder, ucf101"):
        read(ucf101.root, None, dataset="ucf")
    with pytest.raises(DataError, match="expected one sub-folder per class"):
        read(empty, None, dataset="folder")


def test_the_split_lists_may_lie_inside_the_root(ucf101: DataSource) -> None:
    assert ucf101.root is not None and ucf101.splits is not None
    outside = read_videos("ucf101", ucf101, split=1, validation_fraction=0.2)
    ucf101.splits.rename(ucf101.root / "ucfTrainTestlist")
    assert read_videos("ucf101", DataSource(ucf101.root, None), split=1, validation_fraction=0.2) == outside


def folder(tmp_path: Path, table: str, **options: float) -> VideoSet:
    (tmp_path / "table.csv").write_text(table, encoding="utf-8")
    source = DataSource(tmp_path / "videos", tmp_path / "table.csv")
    return read_videos("folder", source, split=int(options.get("split", 1)), validation_fraction=0.25)


def test_folder_with_folds_and_groups_that_classes_share(tmp_path: Path) -> None:
    rows = [(f"{c}/{f}_{i}.mp4", c, f"scene{f}{i}", f) for c in ("kick", "hug") for f in (1, 2, 3) for i in (1, 2)]
    put(tmp_path / "videos", *(row[0] for row in rows))
    table = "path,label,group,fold\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    videos = folder(tmp_path, table, split=2)
    assert videos.classes == ("hug", "kick")
    assert sorted(names(videos.test)) == ["hug/2_1.mp4", "hug/2_2.mp4", "kick/2_1.mp4", "kick/2_2.mp4"]
    assert len({video.group for video in videos.validation}) == 1 and len(videos.validation) == 2
    with pytest.raises(DataError, match="no video is in fold 4; folds in it: 1, 2, 3"):
        folder(tmp_path, table, split=4)


def test_folder_with_an_explicit_validation_split_and_difficult_names(tmp_path: Path) -> None:
    listed = ["a/été 1.MP4", "b/été 1.MP4", "c d/видео.mkv", "x.avi", "a/w.webm"]
    put(tmp_path / "videos", *listed)
    table = (
        '\ufeffpath, label ,split\n a/été 1.MP4,Ü,train\n"b/été 1.MP4",Ü,val\nc d/видео.mkv,лес,TRAIN\n'
        "x.avi,Ü,test\na/w.webm,лес,validation\ngone.avi,Ü,test\nx.avi,Ü,test\n"
    )
    videos = folder(tmp_path, table)
    assert videos.classes == ("Ü", "лес") and videos.missing == 1
    assert names(videos.train) == ["a/été 1.MP4", "c d/видео.mkv"]
    assert names(videos.validation) == ["b/été 1.MP4", "a/w.webm"] and names(videos.test) == ["x.avi"]
    assert [item.reason.split(" (")[0] for item in videos.skipped] == ["listed twice"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,label\na.avi,x\n", r"table.csv:1: columns file,label; expected the columns path,label"),
        ("path,label,split,fold\na.avi,x,train,1\n", r"table.csv:1: .*split .* or fold"),
        ("path,label\na.avi,x\nb.avi\n", r"table.csv:3: not 2 values"),
        ("path,label\na.avi,\n", r"table.csv:2: an empty path or label"),
        ("path,label,split\na.avi,x,dev\n", r"table.csv:2: split 'dev'; valid: train, val, validation, test"),
        ("path,label,fold\na.avi,x,one\n", r"table.csv:2: fold 'one'; valid: a whole number"),
        ("path,label\n../a.avi,x\n", r"table.csv:2: '../a.avi' is not below"),
        (
            "path,label\na.avi,x\na.avi,y\n",
            r"table.csv:3: 'a.avi' is listed before with other values, at .*table.csv:2",
        ),
        ("path,label,group,split\na.avi,x,g,train\nb.avi,x,g,val\n", r"group 'g' is in train and in validation"),
        ("path,label\n", r"table.csv: no rows"),
        ("", r"table.csv:1: columns none"),
        ("path,label\ngone.avi,x\n", r"none of the 1 listed videos is there"),
    ],
)
def test_a_bad_table_is_named_with_its_line(tmp_path: Path, table: str, message: str) -> None:
    put(tmp_path / "videos", "a.avi", "b.avi")
    with pytest.raises(DataError, match=message):
        folder(tmp_path, table)


def test_folder_without_a_table_takes_a_fifth_of_each_class_for_testing(tmp_path: Path) -> None:
    put(tmp_path, *(f"{c}/{i}.avi" for c in "ab" for i in range(10)), "stray.mp4", "a/notes.txt", "a/3.mp4", "one/1.mov")
    source = DataSource(tmp_path, None)
    videos = read_videos("folder", source, split=1, validation_fraction=0.25)
    assert videos.classes == ("a", "b", "one")
    assert [len({v.group for v in videos.test if v.label == label}) for label in range(3)] == [2, 2, 0]
    assert [len({v.group for v in videos.validation if v.label == label}) for label in range(3)] == [2, 2, 0]
    assert [item.name for item in videos.skipped] == ["stray.mp4"]
    assert read_videos("folder", source, split=1, validation_fraction=0.25) == videos


groups = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=60)


@given(members=groups, fraction=st.floats(0.01, 0.99), shared=st.booleans())
def test_no_group_is_on_both_sides_and_no_class_is_emptied(
    members: list[tuple[int, int]], fraction: float, shared: bool
) -> None:
    videos = [
        Video(f"{i}", Path(f"{i}"), label, f"g{group}" if shared else f"{label}/g{group}")
        for i, (label, group) in enumerate(members)
    ]
    train, validation = carve_validation(videos, fraction)
    assert {v.group for v in train}.isdisjoint(v.group for v in validation)
    assert sorted(v.name for v in (*train, *validation)) == sorted(v.name for v in videos)
    assert {v.label for v in train} == {v.label for v in videos}
    if not shared:
        for label in {v.label for v in videos}:
            count = len({v.group for v in videos if v.label == label})
            held = len({v.group for v in validation if v.label == label})
            assert held == min(max(1, round(fraction * count)), count - 1)


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


@with_clips
def test_the_folds_of_the_real_folder() -> None:
    clips = Path(CLIPS or "")
    source = DataSource(clips / "ut-interaction", clips / "splits" / "ut-interaction")
    videos = read_videos("folder", source, split=2, validation_fraction=0.2)
    assert len(videos.classes) == 6 and videos.missing == 0
    assert len(videos.train) + len(videos.validation) + len(videos.test) == 120
    assert {v.group for v in videos.train}.isdisjoint(v.group for v in videos.validation)
