"""CCV against a small copy of its lists and videos written here, from the lists to the measures of an experiment."""

from collections.abc import Callable
from pathlib import Path

import pytest

from trainables.data import open_data
from trainables.pipeline import Experiment, run_experiment
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, with_values
from trainables.video.inventory import take_inventory
from trainables.video.layouts import read_videos
from trainables.video.layouts.ccv import CATEGORIES
from trainables.video.videos import UNLABELLED, DataError, DataSource, Video, VideoSet

TRAIN: dict[str, tuple[str, ...]] = {
    "-aaaaaaaaa1": ("Basketball",),
    "-aaaaaaaaa2": ("Basketball", "Playground"),
    "-aaaaaaaaa3": ("Basketball",),
    "b_bbbbbbbb1": ("Bird", "Beach"),
    "b_bbbbbbbb2": ("Bird",),
    "b_bbbbbbbb3": ("Bird",),
    "cccccccccc1": ("Playground",),
    "cccccccccc2": ("Playground",),
    "none-none-1": (),
    "gone-gone-1": ("Cat",),
}
TEST: dict[str, tuple[str, ...]] = {
    "-ddddddddd1": ("Basketball", "Parade", "Playground"),
    "dddddddddd2": ("Bird",),
    "none-none-2": (),
    "gone-gone-2": ("Beach",),
}
Write = Callable[[Path], object]


def row(categories: tuple[str, ...]) -> str:
    """A line of a label file, with a blank at its end as the official ones have."""
    return "".join(f"{int(category in categories)} " for category in CATEGORIES)


def write_copy(directory: Path, write: Write) -> DataSource:
    """A partial copy: the videos called gone are not on disk, so no video has Cat, Parade or Beach as its first label."""
    root, lists = directory / "videos", directory / "lists"
    lists.mkdir()
    for part, videos in (("train", TRAIN), ("test", TEST)):
        (lists / f"{part}VidID.txt").write_text("".join(f"{video}\n" for video in videos))
        (lists / f"{part}Label.txt").write_text("".join(f"{row(shown)}\n" for shown in videos.values()))
        for number, video in enumerate(videos):
            if not video.startswith("gone"):
                path = root / ("", part, f"{part}/of/0")[number % 3] / f"{video}{('.mp4', '.avi')[number % 2]}"
                path.parent.mkdir(parents=True, exist_ok=True)
                write(path)
    return DataSource(root, lists)


@pytest.fixture
def ccv(tmp_path: Path) -> DataSource:
    return write_copy(tmp_path, Path.touch)


def read(source: DataSource, split: int = 1) -> VideoSet:
    return read_videos("ccv", source, split=split, validation_fraction=0.3)


def shown(videos: VideoSet, *parts: tuple[Video, ...]) -> dict[str, tuple[str, ...]]:
    return {video.path.stem: tuple(videos.classes[label] for label in video.labels) for part in parts for video in part}


def test_the_categories_are_twenty_in_the_official_order() -> None:
    assert len(set(CATEGORIES)) == 20
    assert [CATEGORIES.index(name) for name in ("Basketball", "Bird", "MusicPerformance", "Playground")] == [0, 9, 15, 19]


def test_videos_anywhere_below_the_root_have_their_labels_in_the_order_of_the_columns(ccv: DataSource) -> None:
    """A category that is no video's first label on disk is none of the classes, and none of the further labels."""
    videos = read(ccv)
    assert videos.classes == ("Basketball", "Bird", "Playground")
    kept = {video: tuple(name for name in names if name in videos.classes) for video, names in (TRAIN | TEST).items()}
    assert shown(videos, videos.train, videos.validation) == {v: kept[v] for v in TRAIN if not v.startswith(("none", "gone"))}
    assert shown(videos, videos.test) == {video: kept[video] for video in TEST if not video.startswith("gone")}
    assert videos.missing == 2
    assert {video.name for video in videos.test} == {"-ddddddddd1.mp4", "test/dddddddddd2.avi", "test/of/0/none-none-2.mp4"}


def test_a_video_without_a_category_is_a_negative_in_testing_and_not_trained_on(ccv: DataSource) -> None:
    videos = read(ccv)
    assert [video.path.stem for video in videos.test if video.label == UNLABELLED] == ["none-none-2"]
    assert {video.label for video in (*videos.train, *videos.validation)} == {0, 1, 2}
    assert [(item.name, item.reason) for item in videos.skipped] == [
        ("train/of/0/none-none-1.mp4", "shows none of the categories")
    ]


def test_each_video_is_a_group_and_validation_holds_out_some_of_each_class(ccv: DataSource) -> None:
    videos = read(ccv)
    assert sorted(video.label for video in videos.validation) == [0, 1, 2]
    assert all(video.group == video.path.stem for video in (*videos.train, *videos.validation, *videos.test))


def test_the_lists_may_lie_inside_the_root_and_have_windows_line_ends(ccv: DataSource) -> None:
    assert ccv.root is not None
    assert ccv.splits is not None
    outside = read(ccv)
    for path in ccv.splits.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    ccv.splits.rename(ccv.root / "annotations")
    assert read(DataSource(ccv.root, None)) == outside


def test_a_video_that_is_listed_twice_stays_where_it_is_listed_first(ccv: DataSource) -> None:
    assert ccv.splits is not None
    (ccv.splits / "testVidID.txt").write_text("\n".join([*list(TEST)[:3], "-aaaaaaaaa1"]))
    videos = read(ccv)
    assert [item.reason for item in videos.skipped][1:] == [f"listed twice ({ccv.splits / 'testVidID.txt'}:4)"]
    assert "-aaaaaaaaa1" not in shown(videos, videos.test)


@pytest.mark.parametrize(
    ("file", "number", "line", "message"),
    [
        ("trainLabel.txt", 3, "1 0 0", r"trainLabel.txt:3: 3 columns, '1 0 0'; expected 20, each 0 or 1"),
        ("testLabel.txt", 1, row(("Cat",)) + "1", r"testLabel.txt:1: 21 columns, .*; expected 20"),
        ("testLabel.txt", 4, row(()).replace("0", "2"), r"testLabel.txt:4: 20 columns, '2 2 .*; expected 20, each 0 or 1"),
        ("trainVidID.txt", 2, "a/b.mp4", r"trainVidID.txt:2: 'a/b.mp4'; expected a YouTube id"),
        ("trainLabel.txt", 10, "", r"trainVidID.txt:10: 10 videos .* 9 rows in trainLabel.txt; trainLabel.txt ends before"),
        ("testVidID.txt", 4, "", r"testLabel.txt:4: 3 videos in testVidID.txt and 4 rows .*; testVidID.txt ends before"),
    ],
)
def test_a_bad_line_is_named(ccv: DataSource, file: str, number: int, line: str, message: str) -> None:
    assert ccv.splits is not None
    lines = (ccv.splits / file).read_text().splitlines()
    lines[number - 1] = line
    (ccv.splits / file).write_text("\n".join(lines))
    with pytest.raises(DataError, match=message):
        read(ccv)


def test_what_is_not_there_is_said_with_what_is_expected(ccv: DataSource, tmp_path: Path) -> None:
    assert ccv.splits is not None
    with pytest.raises(DataError, match=r"data.split 2; CCV has one official split"):
        read(ccv, split=2)
    with pytest.raises(DataError, match=r"no trainVidID.txt and testVidID.txt in .*videos or .* with --splits ccv=DIR"):
        read(DataSource(ccv.root, None))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"none of the 14 listed videos is there; the first is '-aaaaaaaaa1.mp4'"):
        read(DataSource(tmp_path / "empty", ccv.splits))
    (ccv.splits / "testLabel.txt").unlink()
    with pytest.raises(DataError, match=r"testLabel.txt: no such file; expected a row of 20 0 and 1 for each video of testVid"):
        read(ccv)


def test_an_experiment_measures_top_k_on_labelled_videos_and_precision_on_all(
    tmp_path: Path, write_video: Callable[..., Path], tiny: ExperimentSettings, runtime: Callable[..., Runtime]
) -> None:
    """Finetuning, linear probe and retrieval; data.split is that of the other data sets. With all test videos unlabelled there
    would be nothing to measure."""
    source = write_copy(tmp_path, lambda path: write_video(path, frames=8, height=16, width=16))
    changes = {"recipe": "scratch", "data.pretraining": "ccv", "data.downstream": "ccv", "data.split": 2, "finetune.epochs": 1}
    settings = with_values(tiny, {**changes, "data.validation_fraction": 0.3})
    place = runtime(cache=tmp_path / "cache", sources=(("ccv", source),))
    metrics = run_experiment(Experiment(settings, 0), place, lambda line: None).metrics
    assert metrics["test/videos"] == 3
    assert metrics["test/top1"] in (0, 0.5, 1)
    assert metrics["test/top5"] == metrics["test/linear_probe_top5"] == 1.0
    assert 0 < metrics["test/map"] <= 1
    assert metrics["test/retrieval_r50"] == 1.0

    assert source.splits is not None
    (source.splits / "testLabel.txt").write_text(f"{row(())}\n" * len(TEST))
    elsewhere = runtime(cache=tmp_path / "again", sources=(("ccv", source),))
    with pytest.raises(DataError, match=r"data.downstream = ccv: no labelled test videos that can be used"):
        open_data(settings.data, elsewhere)


def test_a_class_without_a_training_video_is_named(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    source = write_copy(tmp_path, lambda path: write_video(path, frames=3, height=16, width=16))
    assert source.splits is not None
    labels = source.splits / "testLabel.txt"
    labels.write_text(labels.read_text().replace(row(("Bird",)), row(("Dog", "Bird"))))
    with pytest.raises(DataError, match="ccv: no training video of 1 of 4 classes: Dog"):
        take_inventory(read(source), tmp_path / "cache")
