"""The folder layout against directories and csvs written here, and the real clips that lie in it."""

import os
from pathlib import Path

import pytest

from trainables.video.inventory import take_inventory
from trainables.video.layouts import read_videos
from trainables.video.videos import DataError, DataSource, Video, VideoSet

CLIPS = os.environ.get("AUXGRAPH_CLIPS")
with_clips = pytest.mark.skipif(CLIPS is None, reason="AUXGRAPH_CLIPS is not set")


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def names(videos: tuple[Video, ...]) -> list[str]:
    return [video.name for video in videos]


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
        (f"path,label,fold\na.avi,x,{'1' * 5000}\n", r"table.csv:2: fold '1{80}\.\.\.'; valid: a whole number"),
        ("path,label,fold\na.avi,x,one\n", r"table.csv:2: fold 'one'; valid: a whole number"),
        ("path,label\n../a.avi,x\n", r"table.csv:2: '../a.avi' is not below"),
        (
            "path,label\na.avi,x\na.avi,y\n",
            r"table.csv:3: 'a.avi' is listed before with other values, at .*table.csv:2",
        ),
        (
            "path,label,group,split\na.avi,x,g,train\nb.avi,x,g,val\n",
            r"table.csv:3: group 'g' is in train and in validation \(in train at .*table.csv:2\)",
        ),
        ("path,label,group,split\na.avi,x,g,train\nb.avi,x,g,test\n", r"table.csv:3: group 'g' is in train and in test"),
        ("path,label,group,fold\na.avi,x,g,1\nb.avi,x,g,2\n", r"table.csv:3: group 'g' is in test and in train"),
        ("path,label,split\na.avi,x,train\na.avi,x,test\n", r"table.csv:3: 'a.avi' is listed before with other values"),
        ("path,label\r\na.avi,  \r\n", r"table.csv:2: an empty path or label"),
        ("path,label\na.avi,x\nb/../../a.avi,x\n", r"table.csv:3: 'b/../../a.avi' is not below"),
        (f"path,label,split\na.avi,x,{'y' * 999}\n", r"table.csv:2: split 'y{80}\.\.\.'; valid"),
        ("path,label\n", r"table.csv: no rows"),
        ("", r"table.csv:1: columns none"),
        ("path,label\ngone.avi,x\n", r"none of the 1 listed videos is there"),
    ],
)
def test_a_bad_table_is_named_with_its_line(tmp_path: Path, table: str, message: str) -> None:
    put(tmp_path / "videos", "a.avi", "b.avi")
    with pytest.raises(DataError, match=message):
        folder(tmp_path, table)


def test_a_table_with_windows_line_ends_a_mark_at_its_start_and_blank_lines_is_read(tmp_path: Path) -> None:
    put(tmp_path / "videos", "a.avi", "b.avi", "c.avi")
    videos = folder(tmp_path, "\ufeffpath,label,split\r\na.avi,x,train\r\n\r\nb.avi, y ,test\r\nc.avi,y,train\r\n\r\n")
    assert videos.classes == ("x", "y") and names(videos.test) == ["b.avi"]
    assert names((*videos.train, *videos.validation)) == ["a.avi", "c.avi"]


def test_groups_of_unequal_size_are_held_out_for_testing_by_videos(tmp_path: Path) -> None:
    """One scene has half of the videos: counted by groups, it can be what is held out."""
    rows = [
        (f"{c}/{scene}_{i}.avi", c, f"scene {scene}") for c in "ab" for scene in range(6) for i in range(10 if scene < 1 else 2)
    ]
    put(tmp_path / "videos", *(row[0] for row in rows))
    for first in range(6):
        renamed = [(name, label, group.replace("scene 0", f"first {first}")) for name, label, group in rows]
        videos = folder(tmp_path, "path,label,group\n" + "".join(",".join(row) + "\n" for row in renamed))
        assert len(videos.test) == 8 and {video.label for video in videos.test} == {0, 1}
        assert videos.notes[0].startswith("test: 20% asked for, 20.0% held out (8 videos, 2 groups)")


def test_folder_without_a_table_takes_a_fifth_of_each_class_for_testing(tmp_path: Path) -> None:
    put(tmp_path, *(f"{c}/{i}.avi" for c in "ab" for i in range(10)), "stray.mp4", "a/notes.txt", "a/3.mp4", "one/1.mov")
    source = DataSource(tmp_path, None)
    videos = read_videos("folder", source, split=1, validation_fraction=0.25)
    assert videos.classes == ("a", "b", "one")
    assert [sum(v.label == label for v in videos.test) for label in range(3)] == [2, 2, 0]
    assert [sum(v.label == label for v in videos.validation) for label in range(3)] == [2, 2, 0]
    assert [item.name for item in videos.skipped] == ["stray.mp4"]
    assert read_videos("folder", source, split=1, validation_fraction=0.25) == videos


def test_a_flat_directory_serves_without_labels(tmp_path: Path, write_video) -> None:
    for index in range(4):
        write_video(tmp_path / f"clip {index} \u00e9.mp4", frames=8)
    videos = take_inventory(read_videos("folder", DataSource(tmp_path, None), split=2, validation_fraction=0.25), tmp_path)
    assert not videos.labelled and videos.classes == ("unlabelled",)
    assert (len(videos.train), len(videos.validation), len(videos.test)) == (3, 1, 0)
    assert {(video.label, video.frames) for video in (*videos.train, *videos.validation)} == {(0, 8)}


def test_a_table_without_labels_keeps_its_groups_and_parts(tmp_path: Path) -> None:
    put(tmp_path / "videos", *(f"{day}/{i}.avi" for day in ("mon", "tue") for i in range(3)))
    rows = [(f"{day}/{i}.avi", day) for day in ("mon", "tue") for i in range(3)]
    videos = folder(tmp_path, "path,group\n" + "".join(f"{path},{day}\n" for path, day in rows) + "gone.avi,mon\n")
    assert not videos.labelled and videos.classes == ("unlabelled",) and videos.missing == 1
    assert {len({v.group for v in part}) for part in (videos.train, videos.validation)} == {1} and not videos.test
    videos = folder(tmp_path, "path,split\nmon/0.avi,train\nmon/1.avi,val\ntue/0.avi,test\n")
    assert [names(part) for part in (videos.train, videos.validation, videos.test)] == [
        ["mon/0.avi"],
        ["mon/1.avi"],
        ["tue/0.avi"],
    ]


def test_a_name_that_is_not_utf_8_is_skipped_and_linked_folders_are_followed(tmp_path: Path) -> None:
    put(tmp_path / "videos", "a/0.avi", "a/1.avi")
    put(tmp_path / "elsewhere", "0.avi", "1.avi")
    (tmp_path / "videos" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "videos" / "a" / "loop").symlink_to(tmp_path / "videos")
    Path(os.fsdecode(os.fsencode(tmp_path / "videos" / "a") + b"/\xe9.avi")).touch()
    videos = read_videos("folder", DataSource(tmp_path / "videos", None), split=1, validation_fraction=0)
    assert sorted(names((*videos.train, *videos.test))) == ["a/0.avi", "a/1.avi", "b/0.avi", "b/1.avi"]
    assert [(item.name, item.reason) for item in videos.skipped] == [("a/\\xe9.avi", "its name is not in UTF-8; rename it")]


@with_clips
def test_the_folds_of_the_real_folder() -> None:
    clips = Path(CLIPS or "")
    source = DataSource(clips / "ut-interaction", clips / "splits" / "ut-interaction")
    videos = read_videos("folder", source, split=2, validation_fraction=0.2)
    assert len(videos.classes) == 6 and videos.missing == 0
    assert len(videos.train) + len(videos.validation) + len(videos.test) == 120
    assert {v.group for v in videos.train}.isdisjoint(v.group for v in videos.validation)
