"""Directories of frames against the video files that they were made from, in every layout and on real clips, and against
images of which it is known what is wrong with them."""

import json
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from trainables.checks import check_layout
from trainables.video.cache import FrameCache
from trainables.video.contents import content_hash
from trainables.video.decoding import decode, probe, read_frames
from trainables.video.inventory import take_inventory
from trainables.video.layouts import read_videos, recognise_layout
from trainables.video.pixels import DecodingError
from trainables.video.videos import PARTS, DataError, DataSource, Video, VideoSet, without_extension

CLIPS = os.environ.get("AUXGRAPH_CLIPS")
with_clips = pytest.mark.skipif(CLIPS is None, reason="AUXGRAPH_CLIPS is not set")
SIZE = (20, 28)
CODECS = {"png": "png", "bmp": "bmp", "jpg": "mjpeg", "jpeg": "mjpeg"}


def encoded(pixels: np.ndarray, codec: str = "png") -> bytes:
    context = av.CodecContext.create(codec, "w")
    context.height, context.width = pixels.shape[:2]
    context.pix_fmt = {"png": "rgb24", "bmp": "bgr24", "mjpeg": "yuvj444p"}[codec]
    context.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=context.pix_fmt)
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def grey(level: int, codec: str = "png", height: int = 16, width: int = 24) -> bytes:
    return encoded(np.full((height, width, 3), level, dtype=np.uint8), codec)


def write_frames(directory: Path, names: list[str], **options: int) -> Path:
    """A directory of grey images, each ten levels brighter than the one before."""
    directory.mkdir(parents=True)
    for place, name in enumerate(names):
        (directory / name).write_bytes(grey(20 + 10 * place, CODECS[name.rpartition(".")[2].lower()], **options))
    return directory


def levels(directory: Path, frames: range | list[int] | None = None) -> list[int]:
    """The brightness of each frame, as places in the order in which they were written."""
    wanted = range(probe(directory).frames) if frames is None else frames
    return [round((float(image.mean()) - 20) / 10) for image in read_frames(directory, wanted, SIZE).pixels]


def as_folders(root: Path, frames: int = 2) -> None:
    """Every video file below a directory becomes a directory of frames, named without the extension."""
    for path in [path for path in root.rglob("*") if path.suffix in (".avi", ".mp4", ".webm")]:
        path.unlink()
        path.with_suffix("").mkdir()
        for number in range(1, frames + 1):
            (path.with_suffix("") / f"img_{number:05d}.jpg").touch()


HMDB = "film_{}_clap_u_nm_np1_ba_goo_{}.avi"
SETS: dict[str, tuple[list[str], dict[str, str]]] = {
    "folder": ([f"{c}/v{n}.mp4" for c in "ab" for n in range(12)], {}),
    "folder csv": (
        [f"{c}/v.{n}.mp4" for c in "ab" for n in range(6)],
        {"table.csv": "path,label\n" + "".join(f"{c}/v.{n}.mp4,{c}\n" for c in "ab" for n in range(6))},
    ),
    "ucf101": (
        [f"{c}/v_{c}_g{g:02d}_c01.avi" for c in ("Archery", "Punch") for g in range(1, 6)],
        {
            "classInd.txt": "1 Archery\n2 Punch\n",
            "trainlist01.txt": "".join(
                f"{c}/v_{c}_g{g:02d}_c01.avi {i}\n" for i, c in ((1, "Archery"), (2, "Punch")) for g in range(2, 6)
            ),
            "testlist01.txt": "Archery/v_Archery_g01_c01.avi\nPunch/v_Punch_g01_c01.avi\n",
        },
    ),
    "hmdb51": (
        [f"clap/{HMDB.format(film, 0)}" for film in "abcdef"],
        {"clap_test_split1.txt": "".join(f"{HMDB.format(film, 0)} {1 + (film == 'a')}\n" for film in "abcdef")},
    ),
    "ssv2": (
        [f"{n}.webm" for n in range(8)],
        {
            "labels.json": json.dumps({"Holding something": "0", "Pushing something": "1"}),
            "train.json": json.dumps([{"id": str(n), "template": "Holding [something]"} for n in range(6)]),
            "validation.json": json.dumps([{"id": str(n), "template": "Pushing [something]"} for n in (6, 7)]),
        },
    ),
    "diving48": (
        [f"rgb/_8Vy3dlHg2w_0000{n}.mp4" for n in range(6)],
        {
            "Diving48_vocab.json": json.dumps([["Back", "15som"], ["Front"]]),
            "Diving48_V2_train.json": json.dumps([{"vid_name": f"_8Vy3dlHg2w_0000{n}", "label": n % 2} for n in range(4)]),
            "Diving48_V2_test.json": json.dumps([{"vid_name": f"_8Vy3dlHg2w_0000{n}", "label": n % 2} for n in (4, 5)]),
        },
    ),
    "lists": (
        [f"run fast/{n}.mp4" for n in range(8)],
        {
            "train.txt": "".join(f"run fast/{n}.mp4 {n % 2}\n" for n in range(6)),
            "val.txt": "run fast/6.mp4 0\nrun fast/7.mp4 1\n",
        },
    ),
    "kinetics400": (
        [f"train/clap/abcdefghij{n}_000001_000011.mp4" for n in range(5)] + ["val/clap/abcdefghij9_000001_000011.mp4"],
        {
            f"{part}.csv": "label,youtube_id,time_start,time_end,split\n"
            + "".join(f"clap,abcdefghij{n},1,11,{part}\n" for n in numbers)
            for part, numbers in (("train", range(5)), ("val", [9]))
        },
    ),
    "kinetics400 folders": (
        [f"{part}/{c}/abcdefghij{n}_000001_000011.mp4" for part in ("train", "val") for c in "ab" for n in range(4)],
        {},
    ),
    "ccv": (
        [f"videos/ab{n}.mp4" for n in range(6)],
        {
            "trainVidID.txt": "ab0\nab1\nab2\nab3\n",
            "testVidID.txt": "ab4\nab5\n",
            "trainLabel.txt": "".join(" ".join("1" if i == n % 2 else "0" for i in range(20)) + "\n" for n in range(4)),
            "testLabel.txt": "".join(" ".join("1" if i == n % 2 else "0" for i in range(20)) + "\n" for n in (4, 5)),
        },
    ),
}


def told(videos: VideoSet) -> list[tuple]:
    """All that a layout says of its videos, but for the ending of a file."""
    of_part = [(part, video) for part in PARTS for video in videos.part(part)]
    rows = [(part, without_extension(video.name), video.label, video.group, video.others) for part, video in of_part]
    return [videos.classes, videos.missing, videos.notes, *sorted(rows)]


@pytest.mark.parametrize("name", SETS)
def test_directories_of_frames_are_read_as_the_files_they_were_made_from(tmp_path: Path, name: str) -> None:
    files, lists = SETS[name]
    for file in files:
        (tmp_path / "videos" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / file).touch()
    for file, text in lists.items():
        (tmp_path / "lists").mkdir(exist_ok=True)
        (tmp_path / "lists" / file).write_text(text)
    layout, splits = name.split()[0], tmp_path / "lists" if lists else None
    source = DataSource(tmp_path / "videos", splits)

    def read() -> VideoSet:
        assert splits is None or name == "folder csv" or recognise_layout(tmp_path / "videos", splits) == layout
        return read_videos(layout, source, split=1, validation_fraction=0.25)

    of_files = read()
    as_folders(tmp_path / "videos")
    of_frames = read()
    assert told(of_frames) == told(of_files)
    assert len(of_frames.train) > 1
    assert all(video.path.is_dir() for part in PARTS for video in of_frames.part(part))


@pytest.mark.parametrize(
    "line", ["run fast/{} 30 {}", "run fast/{} {}", "run fast/{},30,{}"], ids=["mmaction2", "path label", "commas"]
)
def test_lists_of_directories_of_frames(tmp_path: Path, line: str) -> None:
    for number in range(8):
        write_frames(tmp_path / "run fast" / f"v.{number}", ["img_1.png", "img_2.png"])
    (tmp_path / "train_rawframes.txt").write_text("".join(line.format(f"v.{n}", n % 2) + "\n" for n in range(6)))
    (tmp_path / "val_rawframes.txt").write_text("".join(line.format(f"v.{n}", n % 2) + "\n" for n in (6, 7)))
    assert recognise_layout(tmp_path) == "lists"
    check_layout("lists", tmp_path)
    read = read_videos("lists", DataSource(tmp_path, None), split=1, validation_fraction=0.3)
    videos = take_inventory(read, tmp_path / "cache")
    assert sorted(video.name for video in videos.test) == ["run fast/v.6", "run fast/v.7"]
    assert {video.frames for video in (*videos.train, *videos.validation, *videos.test)} == {2}
    assert len({video.group for video in (*videos.train, *videos.validation)}) == 6


@with_clips
def test_real_clips_as_png_images_have_the_pixels_and_labels_of_the_clips(tmp_path: Path) -> None:
    """Through layout, inventory and cache, beside PyAV's plain decoding in sequence."""
    clips = sorted(Path(CLIPS or "").glob("UCF-101/P*/v_*_g0[579]_c0[12].avi"))
    for clip in clips:
        directory = tmp_path / "videos" / clip.parent.name / clip.stem
        directory.mkdir(parents=True)
        with av.open(str(clip)) as container:
            for number, frame in enumerate(container.decode(video=0), start=1):
                (directory / f"image_{number}.png").write_bytes(encoded(frame.to_ndarray(format="rgb24")))
                if number == 12:
                    break
    (tmp_path / "files").mkdir()
    for clip in clips:
        (tmp_path / "files" / clip.parent.name).mkdir(exist_ok=True)
        (tmp_path / "files" / clip.parent.name / clip.name).symlink_to(clip)
    splits = Path(CLIPS or "", "splits", "ucf101")

    def read(root: str) -> VideoSet:
        videos = read_videos("ucf101", DataSource(tmp_path / root, splits), split=1, validation_fraction=0.3)
        return take_inventory(videos, tmp_path / root)

    files, frames = read("files"), read("videos")
    assert told(frames) == told(files) and len(frames.train) >= 4
    cache = FrameCache(tmp_path / "cache", 10**9)
    by_name = {without_extension(video.name): video for part in PARTS for video in files.part(part)}
    for video in (video for part in PARTS for video in frames.part(part)):
        assert (video.frames, video.decoder) == (12, "pyav")
        expected = read_frames(by_name[video.name].path, [11, 0, 5, 5], SIZE, (1, 2, 16, 16), decoder="pyav").pixels
        for _ in range(2):
            assert np.array_equal(cache.read(video, [11, 0, 5, 5], SIZE, (1, 2, 16, 16)).pixels, expected)
        assert np.array_equal(read_frames(video.path, [11, 0, 5, 5], SIZE, (1, 2, 16, 16)).pixels, expected)


@pytest.mark.parametrize(
    "names",
    [
        [f"img_{number:05d}.jpg" for number in range(1, 13)],
        [f"frame{number}.PNG" for number in range(0, 120, 10)],
        [*(f"{number:02d}.bmp" for number in (3, 7, 99)), "100.bmp", "0000101.bmp"],
        [f"v_Punch_g01_c01_{number}.jpeg" for number in (8, 9, 10, 11)],
        [f"flower 3 % кадр-{number}.jpg" for number in range(9, 12)],
    ],
    ids=["denseflow", "gaps", "widths", "digits before", "odd letters"],
)
def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path, names: list[str]) -> None:
    directory = write_frames(tmp_path / "v", names)
    assert probe(directory).frames == len(names) and (probe(directory).height, probe(directory).width) == (16, 24)
    assert levels(directory) == list(range(len(names)))
    assert levels(directory, [2, 0, 2]) == [2, 0, 2]
    with pytest.raises(IndexError):
        read_frames(directory, [len(names)], SIZE)


def test_other_files_are_left_out_and_images_among_them_said(tmp_path: Path) -> None:
    """Optical flow as denseflow writes it, macOS's and Windows' files, a count of frames."""
    for video in ("a/0", "a/1", "b/0", "b/1"):
        directory = write_frames(tmp_path / "videos" / video, ["img_1.png", "img_2.png", "img_3.png"])
        for name in (
            "flow_x_00001.jpg",
            "flow_y_00001.jpg",
            "x_1.png",
            "._img_4.png",
            "n_frames.txt",
            "Thumbs.db",
            "cover.jpg",
        ):
            (directory / name).write_bytes(b"other")
        (directory / ".cache").mkdir()
    videos = read_videos("folder", DataSource(tmp_path / "videos", None), split=1, validation_fraction=0)
    taken = take_inventory(videos, tmp_path)
    assert {(video.frames, len(levels(video.path))) for video in (*taken.train, *taken.test)} == {(3, 3)}
    assert taken.notes[-1] == "4 directories of frames hold other images, which are left out, such as cover.jpg"
    assert take_inventory(videos, tmp_path) == taken


def test_damaged_images_are_replaced_by_earlier_ones_and_counted(tmp_path: Path) -> None:
    directory = write_frames(tmp_path / "v", [f"img_{number}.jpg" for number in range(10)])
    whole = (directory / "img_4.jpg").read_bytes()
    for number, content in {0: b"", 1: b"text", 4: whole[:-2], 5: whole[: len(whole) // 2], 9: grey(1)[:60]}.items():
        (directory / f"img_{number}.jpg").write_bytes(content)
    (directory / "img_7.jpg").unlink()
    (directory / "img_7.jpg").symlink_to(directory / "img_7.jpg")
    assert probe(directory).frames == 9, "a video ends with its last sound frame"
    (directory / "img_0.jpg").write_bytes(whole)
    assert probe(directory, verify="packets").frames == 10, "only the first is looked at"
    (directory / "img_0.jpg").write_bytes(b"")
    pixels, replaced = decode(directory, range(9), SIZE)
    assert replaced.tolist() == [True, True, False, False, True, True, False, True, False]
    assert levels(directory) == [2, 2, 2, 3, 3, 3, 6, 6, 8]
    video = Video("v", directory, 0, "v", probe(directory).frames, "pyav")
    for cache in (FrameCache(tmp_path / "c", 10**9), FrameCache(tmp_path / "c", 10**9), FrameCache(None, 0)):
        found = cache.read(video, [5, 5, 1, 8], SIZE)
        assert found.replaced == 3 and np.array_equal(found.pixels, pixels[[5, 5, 1, 8]])


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (
            lambda d: (d / "3.png").write_bytes(grey(9, width=26)),
            "3.png is 26x16, and 1.png 24x16; expected frames of one size",
        ),
        (lambda d: (d / "img_1.png").write_bytes(grey(9)), "images of 2 kinds, such as 1.png and img_1.png"),
        (lambda d: (d / "02.png").write_bytes(grey(9)), "02.png and 2.png have the same number"),
        (lambda d: [path.write_bytes(b"x") for path in d.iterdir()], "no frame can be decoded, of 2 images"),
        (lambda d: [path.rename(path.with_suffix(".txt")) for path in d.iterdir()], "a directory without images"),
        (lambda d: (d / "2.png").unlink(), "one frame"),
    ],
    ids=["sizes", "kinds", "number", "damaged", "none", "one"],
)
def test_a_directory_that_is_no_video_is_skipped_with_the_reason(tmp_path: Path, write, reason: str) -> None:
    directory = write_frames(tmp_path / "bad", ["1.png", "2.png"])
    good = write_frames(tmp_path / "good", ["1.png", "2.png"])
    write(directory)
    videos = tuple(Video(path.name, path, 0, path.name) for path in (directory, good))
    taken = take_inventory(VideoSet("own", ("a",), videos, (), ()), tmp_path)
    assert [video.name for video in taken.train] == ["good"]
    assert [(item.name, item.reason[: len(reason)]) for item in taken.skipped] == [("bad", reason)]
    if reason != "one frame":
        with pytest.raises(DecodingError):
            probe(directory)


def test_every_change_of_the_frames_is_another_content(tmp_path: Path) -> None:
    directory = write_frames(tmp_path / "v", [f"img_{number}.bmp" for number in range(1, 6)])
    video = Video("v", directory, 0, "v")

    def taken() -> VideoSet:
        return take_inventory(VideoSet("own", ("a",), (video,), (), ()), tmp_path)

    contents = [taken().train[0].content]
    assert contents == [content_hash(directory)]
    edited = directory / "img_3.bmp"
    times, content = edited.stat(), bytearray(edited.read_bytes())
    content[-1] ^= 1
    edited.write_bytes(content)
    os.utime(edited, ns=(times.st_atime_ns, times.st_mtime_ns))
    contents.append(taken().train[0].content)
    (directory / "img_5.bmp").rename(directory / "img_7.bmp")
    contents.append(taken().train[0].content)
    (directory / "img_1.bmp").unlink()
    contents.append(taken().train[0].content)
    assert len(set(contents)) == 4 and taken().train[0].frames == 4
    (directory / "note.txt").write_text("no frame")
    assert taken().train[0].content == contents[-1]


def test_a_file_is_read_rather_than_frames_of_the_same_name(tmp_path: Path, write_video) -> None:
    for name in "0123":
        write_video(tmp_path / "videos" / "a" / f"{name}.avi", frames=5)
        write_frames(tmp_path / "videos" / "a" / name, ["1.png", "2.png"])
    write_frames(tmp_path / "videos" / "a" / "4", ["1.png", "2.png"])
    read = read_videos("folder", DataSource(tmp_path / "videos", None), split=1, validation_fraction=0)
    assert sorted(video.name for video in (*read.train, *read.test)) == ["a/0.avi", "a/1.avi", "a/2.avi", "a/3.avi", "a/4"]
    assert [(item.name, item.reason.split(" of")[0]) for item in read.skipped] == [(f"a/{name}", "frames") for name in "0123"]
    (tmp_path / "t.csv").write_text("path,label\na/0.avi,x\na/1,x\na/4.avi,x\n")
    listed = read_videos("folder", DataSource(tmp_path / "videos", tmp_path / "t.csv"), split=1, validation_fraction=0)
    assert sorted(video.name for video in (*listed.train, *listed.test)) == ["a/0.avi", "a/1", "a/4"]
    (tmp_path / "t.csv").write_text("path,label,split\na/4,x,train\na/4.avi,x,train\n")
    with pytest.raises(DataError, match=r"t\.csv:3: the directory 'a/4' is listed before, at .*t\.csv:2"):
        read_videos("folder", DataSource(tmp_path / "videos", tmp_path / "t.csv"), split=1, validation_fraction=0)


def test_links_that_lead_round_and_images_beside_videos_are_no_frames(tmp_path: Path, write_video) -> None:
    for label in "ab":
        for number in range(3):
            directory = write_frames(tmp_path / label / str(number), ["1.png", "2.png"])
        (directory / "9.png").symlink_to("9.png")
        (directory / "again").symlink_to(directory)
        (directory / "flow").mkdir()
        (directory / "flow" / "flow_x_1.png").touch()
        (tmp_path / label / "cover1.png").write_bytes(grey(9))
        (tmp_path / label / "again").symlink_to(tmp_path / label)
    write_video(tmp_path / "c" / "v1.avi", frames=4)
    (tmp_path / "c" / "v1.jpg").write_bytes(grey(9, "mjpeg"))
    read = read_videos("folder", DataSource(tmp_path, None), split=1, validation_fraction=0)
    assert {video.name for video in (*read.train, *read.test)} == {*(f"{c}/{n}" for c in "ab" for n in range(3)), "c/v1.avi"}
