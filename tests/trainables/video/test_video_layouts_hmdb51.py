"""HMDB51 against a small copy of its layout written here, and against the official lists."""

import os
from collections import Counter
from pathlib import Path

import pytest

from trainables.video.inventory import take_inventory
from trainables.video.layouts import read_videos
from trainables.video.videos import DataError, DataSource, VideoSet

CLIPS = os.environ.get("AUXGRAPH_CLIPS")
FILMS = ("April_09", "(HQ) Climb - Part_2!", "#20_Rhythm[a]", "Été_à_Zürich_run", "prelinger_LetsBeGo1953")
TAGS = "u_cm_np10_fr_med"


def name(film: str, label: str, number: int) -> str:
    return f"{film}_{label}_{TAGS}_{number}.avi"


def write_list(lists: Path, label: str, split: int, codes: dict[str, int]) -> None:
    lists.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{file} {code} \n" for file, code in codes.items())
    (lists / f"{label}_test_split{split}.txt").write_text(text, encoding="utf-8")


@pytest.fixture
def hmdb51(tmp_path: Path) -> DataSource:
    """The classes draw_sword, run and sword: two clips of each film; of each class the last film is for testing.

    Split 2 uses the first film only. All films are in all classes.
    """
    root, lists = tmp_path / "videos", tmp_path / "lists"
    for label in ("draw_sword", "run", "sword"):
        files = {name(film, label, number): film for film in FILMS for number in (0, 1)}
        write_list(lists, label, 1, {file: 2 if film == FILMS[-1] else 1 for file, film in files.items()})
        write_list(lists, label, 2, {file: 1 if film == FILMS[0] else 0 for file, film in files.items()})
        (root / label).mkdir(parents=True)
        for file in files:
            (root / label / file).touch()
    return DataSource(root, lists)


def read(source: DataSource, split: int = 1, fraction: float = 0.25) -> VideoSet:
    return read_videos("hmdb51", source, split=split, validation_fraction=fraction)


def test_parts_follow_the_codes_and_groups_are_films_whatever_their_names(hmdb51: DataSource) -> None:
    videos = read(hmdb51)
    assert videos.classes == ("draw_sword", "run", "sword") and videos.missing == 0
    assert {video.group for video in videos.test} == {FILMS[-1]} and len(videos.test) == 6
    assert {video.group for video in (*videos.train, *videos.validation)} == set(FILMS[:-1])
    assert len(videos.validation) == 6 and len(videos.train) == 18
    assert {video.group for video in videos.validation}.isdisjoint(video.group for video in videos.train)
    assert Counter(video.label for video in videos.validation) == {0: 2, 1: 2, 2: 2}
    assert all(video.path.is_file() and video.name.split("/")[0] == videos.classes[video.label] for video in videos.train)


def test_videos_of_code_0_are_neither_used_nor_missing(hmdb51: DataSource) -> None:
    videos = read(hmdb51, split=2)
    assert {video.group for video in (*videos.train, *videos.validation, *videos.test)} == {FILMS[0]}
    assert (len(videos.train), len(videos.test), videos.missing, videos.skipped) == (6, 0, 0, ())


@pytest.mark.parametrize("place", [".", "splits", "testTrainMulti_7030_splits"])
def test_the_lists_may_lie_inside_the_root(hmdb51: DataSource, place: str) -> None:
    assert hmdb51.root is not None and hmdb51.splits is not None
    outside = read(hmdb51)
    (hmdb51.root / place).mkdir(exist_ok=True)
    for path in hmdb51.splits.iterdir():
        path.rename(hmdb51.root / place / path.name)
    assert read(DataSource(hmdb51.root, None)) == outside


def test_the_directory_around_the_official_archive_of_lists_will_do(hmdb51: DataSource) -> None:
    assert hmdb51.splits is not None
    outside = read(hmdb51)
    hmdb51.splits.rename(hmdb51.splits.parent / "testTrainMulti_7030_splits")
    assert read(DataSource(hmdb51.root, hmdb51.splits.parent)) == outside


def test_a_missing_class_folder_is_counted_and_the_class_left_out(hmdb51: DataSource) -> None:
    assert hmdb51.root is not None
    (hmdb51.root / "run").rename(hmdb51.root / "jog")
    (hmdb51.root / "sword" / name(FILMS[0], "sword", 0)).unlink()
    videos = read(hmdb51)
    assert videos.classes == ("draw_sword", "sword") and videos.missing == 11
    assert {video.name.split("/")[0]: video.label for video in videos.train} == {"draw_sword": 0, "sword": 1}


def test_a_file_name_may_appear_in_two_classes_and_is_of_one_film(hmdb51: DataSource) -> None:
    assert hmdb51.root is not None and hmdb51.splits is not None
    shared = name("Alien", "sword", 0)
    for label in ("run", "sword"):
        with (hmdb51.splits / f"{label}_test_split1.txt").open("a") as stream:
            stream.write(f"{shared} 2\n")
        (hmdb51.root / label / shared).touch()
    found = [video for video in read(hmdb51).test if video.path.name == shared]
    assert [(video.name, video.label, video.group) for video in found] == [
        (f"run/{shared}", 1, "Alien"),
        (f"sword/{shared}", 2, "Alien"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("clip.avi", r"run_test_split1.txt:11: 'clip.avi'; expected a file name and 1 \(train\), 2 \(test\) or 0"),
        (f"{name('A', 'run', 0)} 3", r"run_test_split1.txt:11: .* 3'; expected a file name and 1"),
        (f"run/{name('A', 'run', 0)} 1", r"run_test_split1.txt:11: 'run/.*expected a file name"),
        ("clip.avi 1", r"run_test_split1.txt:11: no source film in 'clip.avi'; expected <film>_run_<tags>_<number>.avi"),
        (f"run_{TAGS}_0.avi 1", r"run_test_split1.txt:11: no source film"),
        (f"{name('A', 'jump', 0)} 1", r"run_test_split1.txt:11: no source film"),
        (f"{name('April_09', 'run', 0)} 2", r"run_test_split1.txt:11: .* is listed before, at .*run_test_split1.txt:1$"),
    ],
)
def test_a_bad_line_is_named(hmdb51: DataSource, line: str, message: str) -> None:
    assert hmdb51.splits is not None
    with (hmdb51.splits / "run_test_split1.txt").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(DataError, match=message):
        read(hmdb51)


def test_what_is_not_there_is_said_with_what_is_expected(hmdb51: DataSource, tmp_path: Path) -> None:
    assert hmdb51.splits is not None
    with pytest.raises(DataError, match=r"draw_sword_test_split4.txt: no such list; splits of which there are lists: 1, 2"):
        read(hmdb51, split=4)
    with pytest.raises(DataError, match=r"no list in .*videos.*testTrainMulti.* give their directory with --splits hmdb51=DIR"):
        read(DataSource(hmdb51.root, None))
    (hmdb51.splits / "run_test_split2.txt").unlink()
    with pytest.raises(DataError, match=r"run_test_split2.txt: no such list"):
        read(hmdb51, split=2)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"none of the 30 listed videos is there; the first is 'draw_sword/April_09_draw_sword"):
        read(DataSource(empty, hmdb51.splits))
    (hmdb51.splits / "run_test_split1.txt").write_bytes("Été.avi 1".encode("latin-1"))
    with pytest.raises(DataError, match=r"run_test_split1.txt: not a text file in UTF-8"):
        read(hmdb51)


def test_encoded_videos_are_examined(tmp_path: Path, write_video) -> None:
    for label in ("clap", "kick_ball"):
        codes = {name(film, label, 0): code for film, code in zip(FILMS[:4], (1, 1, 2, 0), strict=True)}
        write_list(tmp_path / "splits", label, 1, codes)
        for frames, file in enumerate(codes, start=8):
            write_video(tmp_path / label / file, frames=frames)
    videos = take_inventory(read(DataSource(tmp_path, None)), tmp_path / "cache")
    assert videos.skipped == () and len(videos.train) == len(videos.validation) == len(videos.test) == 2
    assert {video.frames for video in (*videos.train, *videos.validation)} == {8, 9}
    assert {video.frames for video in videos.test} == {10}


@pytest.mark.skipif(CLIPS is None, reason="AUXGRAPH_CLIPS is not set")
def test_the_official_lists(tmp_path: Path) -> None:
    """70 training and 30 test videos in each class of each split, and no film of a class on both sides."""
    lists = Path(CLIPS or "") / "splits" / "hmdb51"
    for path in lists.glob("*_test_split1.txt"):
        folder = tmp_path / path.name.removesuffix("_test_split1.txt")
        folder.mkdir()
        for line in path.read_text().splitlines():
            (folder / line.split()[0]).touch()
    for split in (1, 2, 3):
        videos = read(DataSource(tmp_path, lists), split=split, fraction=0.1)
        training = (*videos.train, *videos.validation)
        assert (len(videos.classes), len(training), len(videos.test), videos.missing) == (51, 3570, 1530, 0)
        assert set(Counter(video.label for video in training).values()) == {70}
        assert {(v.label, v.group) for v in training}.isdisjoint((v.label, v.group) for v in videos.test)
        assert {v.group for v in videos.train}.isdisjoint(v.group for v in videos.validation)
