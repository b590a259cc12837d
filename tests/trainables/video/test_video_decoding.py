"""Decoding against plain sequential decoding with PyAV, on sound, damaged and difficult files."""

import os
import re
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch.nn import functional

from trainables.video import decoding, sequence, with_decord
from trainables.video.decoding import decode, probe, read_all, read_clips, read_frames
from trainables.video.pixels import DecodingError
from trainables.video.sequence import Timeline

CLIPS = os.environ.get("AUXGRAPH_CLIPS")
with_clips = pytest.mark.skipif(CLIPS is None, reason="AUXGRAPH_CLIPS is not set")
needs_decord = pytest.mark.skipif("decord" not in decoding.decoder_versions(), reason="decord is not installed")
SIZE = (36, 48)


def real_clips() -> list[Path]:
    if CLIPS is None:
        return []
    sampled = [path for path in sorted(Path(CLIPS).glob("UCF-101/*/*.avi")) if path.stem.endswith(("g04_c01", "g17_c02"))]
    return [*sorted(Path(CLIPS).glob("originals/*/*.avi")), *sampled, *sorted(Path(CLIPS).glob("ut-*/*/*.mp4"))[::60]]


def sequence_of(path: Path, size: tuple[int, int]) -> np.ndarray:
    """All frames, by the plainest use of PyAV."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    pixels = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    resized = functional.interpolate(pixels, size=size, mode="bilinear", antialias=True)
    return resized.permute(0, 2, 3, 1).numpy()


def spoil(path: Path, start: float, end: float, with_zeros: bool = True) -> Path:
    """Overwrite the part of a file between two fractions of its length."""
    content = bytearray(path.read_bytes())
    first, last = int(start * len(content)), int(end * len(content))
    noise = np.random.default_rng(0).integers(0, 256, size=last - first, dtype=np.uint8)
    content[first:last] = bytes(last - first) if with_zeros else noise.tobytes()
    path.write_bytes(bytes(content))
    return path


def assert_pure(path: Path, decoder: str | None = None) -> np.ndarray:
    """Any frames, in any order, one by one or together, are those of reading everything; returns these."""
    count = probe(path).frames
    everything, replaced = decode(path, range(count), SIZE, decoder=decoder)
    order = np.random.default_rng(0).permutation(count)
    assert np.array_equal(read_frames(path, order.tolist(), SIZE, decoder=decoder).pixels, everything[order])
    for indices in (*order[:5, None], order[:2], np.sort(order)[count // 2 : count // 2 + 5]):
        found, other = decode(path, indices.tolist(), SIZE, decoder=decoder)
        assert np.array_equal(found, everything[indices]) and np.array_equal(other, replaced[indices])
    return everything


def seeks(path: Path, monkeypatch, *indices: int) -> list[int]:
    """Reads frames, and gives the groups at whose key frames decoding began, 0 for the beginning of the file."""
    begun = []
    original = sequence.sound_frames

    def noted(path, timeline, take, group=0):
        begun.append(group)
        return original(path, timeline, take, group)

    with monkeypatch.context() as patch:
        patch.setattr(sequence, "sound_frames", noted)
        read_frames(path, indices, SIZE)
    return begun


@with_clips
@pytest.mark.parametrize("path", real_clips(), ids=lambda path: "-".join(path.parts[-3:]))
def test_random_access_equals_sequential_decoding_on_real_clips(path: Path) -> None:
    expected = sequence_of(path, SIZE)
    found = probe(path)
    assert found.frames == len(expected)
    assert found.decoder == "pyav"
    assert np.array_equal(assert_pure(path), expected)
    assert read_all(path, SIZE).replaced == 0


@with_clips
def test_every_real_clip_is_as_long_by_its_packets_and_its_end_as_decoded_whole() -> None:
    """All 520, also after damage: what is found by packets and the last frame is what decoding everything finds."""
    assert CLIPS is not None
    paths = [path for path in sorted(Path(CLIPS).glob("*/*/*")) if path.suffix in (".avi", ".mp4")]
    assert len(paths) > 500
    for path in paths:
        timeline = Timeline(path)
        found = decoding._probe_sound(path, timeline, "frames")
        assert found is not None and found.frames == probe(path, verify="packets").frames == timeline.places
        if path in paths[::25]:
            assert found == decoding._probe_all(path, timeline, "pyav")


@pytest.mark.parametrize(
    ("name", "codec", "b_frames"), [("a.avi", "mpeg4", 0), ("a.mp4", "libx264", 2), ("a.mkv", "libx264", 0)]
)
def test_damage_anywhere_leaves_the_length_that_decoding_everything_finds(
    tmp_path: Path, write_video, name: str, codec: str, b_frames: int
) -> None:
    content = write_video(tmp_path / name, frames=40, codec=codec, gop=8, b_frames=b_frames).read_bytes()
    quick, shorter = 0, 0
    for number in range(40):
        path = tmp_path / f"{number}-{name}"
        path.write_bytes(content[: len(content) - number * 120] if number % 4 == 0 else content)
        if number % 4:
            spoil(path, number / 41, number / 41 + 0.01, with_zeros=number % 2 == 0)
        try:
            timeline = Timeline(path)
            expected = decoding._probe_all(path, timeline, "pyav")
        except DecodingError as error:
            with pytest.raises(DecodingError, match=re.escape(str(error))):
                probe(path)
            continue
        found = probe(path)
        assert (found.frames, found.height, found.width) == (expected.frames, expected.height, expected.width)
        quick += decoding._probe_sound(path, timeline, "frames") is not None
        shorter += found.frames < 40
    assert quick and shorter, "of both sorts"


def test_packets_alone_say_how_long_a_video_is(tmp_path: Path, write_video, monkeypatch) -> None:
    """One frame is decoded, as often as there is no doubt; a video that was cut off is decoded."""
    decoded = []
    original = sequence.sound_frames

    def noted(path, timeline, take, group=0):
        for place, taken in original(path, timeline, take, group):
            decoded.append(place)
            yield place, taken

    monkeypatch.setattr(decoding, "sound_frames", noted)
    path = write_video(tmp_path / "a.avi", frames=40, codec="mpeg4", gop=8)
    assert probe(path, verify="packets") == decoding.Probe(40, 48, 64, "pyav", "") and decoded == [0]
    decoded.clear()
    assert probe(path).frames == 40 and decoded[0] == 0 and decoded[-1] == 39 and len(decoded) < 15
    spoiled = spoil(write_video(tmp_path / "end.avi", frames=40, gop=8), 0.93, 0.95)
    assert probe(spoiled).frames < probe(spoiled, verify="packets").frames
    cut = write_video(tmp_path / "cut.avi", frames=40)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    assert probe(cut, verify="packets").frames == probe(cut).frames < 40


@with_clips
@needs_decord
@pytest.mark.parametrize("path", real_clips()[::4], ids=lambda path: "-".join(path.parts[-3:]))
def test_decord_agrees_on_real_clips_where_it_is_asked_for(path: Path) -> None:
    assert probe(path, "decord").decoder == "decord"
    with_seeks = assert_pure(path, "decord").astype(int)
    assert np.abs(with_seeks - sequence_of(path, SIZE)).max() <= 2  # the decoders convert to RGB alike, up to rounding


@pytest.mark.parametrize(
    ("name", "codec", "b_frames", "options"),
    [
        ("a.avi", "mpeg4", 0, {}),
        ("a.mp4", "mpeg4", 0, {}),
        ("a.mkv", "libx264", 2, {}),
        ("a.mp4", "libx264", 3, {"x264-params": "open-gop=0:bframes=3:b-pyramid=2"}),
        ("a.webm", "libvpx-vp9", 0, {}),
        ("a.mp4", "libx265", 3, {"x265-params": "open-gop=0:log-level=none"}),
    ],
    ids=lambda value: str(value) if not isinstance(value, dict) else "",
)
def test_decoding_begins_at_the_key_frame_before(
    tmp_path: Path, write_video, monkeypatch, name: str, codec: str, b_frames: int, options: dict[str, str]
) -> None:
    path = write_video(tmp_path / name, frames=90, gop=15, codec=codec, b_frames=b_frames, options=options)
    assert np.array_equal(assert_pure(path), sequence_of(path, SIZE))
    begun = seeks(path, monkeypatch, 3, 50, 85)
    assert begun[0] == 0 and len(begun) == 3 and 1 < begun[1] < begun[2], "a file is decoded from its beginning"
    assert seeks(path, monkeypatch, *range(40, 56)) == [begun[1] - (50 // 15 - 40 // 15)]


def test_where_seeks_are_not_exact_files_are_read_in_sequence(tmp_path: Path, write_video, monkeypatch) -> None:
    """Open groups of pictures; and a periodic refresh without key frames, after a seek to which frames are incomplete."""
    open_groups = write_video(tmp_path / "open.avi", frames=90, b_frames=2)
    refresh = write_video(tmp_path / "a.mp4", frames=90, codec="libx264", gop=30, options={"x264-params": "intra-refresh=1"})
    for path, frame in ((open_groups, 85), (refresh, 61)):
        assert np.array_equal(assert_pure(path), sequence_of(path, SIZE))
        assert seeks(path, monkeypatch, frame)[-1] == 0


def test_frames_of_uneven_durations_are_found(tmp_path: Path, write_video) -> None:
    times = np.cumsum(np.random.default_rng(0).integers(1, 9, size=90))
    path = write_video(tmp_path / "a.mp4", frames=90, codec="libx264", gop=15, b_frames=2, times=times.tolist())
    assert np.array_equal(assert_pure(path), sequence_of(path, SIZE))


def test_a_seek_that_leads_astray_is_noticed(tmp_path: Path, write_video, monkeypatch) -> None:
    """A container that seeks to the end of the file, or not at all, or to packets of other sizes."""
    path = write_video(tmp_path / "a.mp4", frames=90, gop=15)
    expected, key_time = sequence_of(path, SIZE), sequence.Timeline.key_time
    for wrong in (lambda time: 10**6, lambda time: time - 1, lambda time: 0):
        with monkeypatch.context() as patch:
            patch.setattr(sequence.Timeline, "key_time", lambda self, group, wrong=wrong: wrong(key_time(self, group)))
            assert np.array_equal(read_frames(path, range(50, 66), SIZE).pixels, expected[50:66])
    with monkeypatch.context() as patch:
        patch.setattr(sequence.Timeline, "is_next", lambda self, packet, order: order < 52)
        assert np.array_equal(read_frames(path, range(50, 66), SIZE).pixels, expected[50:66])


def test_several_clips_are_decoded_once(tmp_path: Path, write_video, monkeypatch) -> None:
    path = write_video(tmp_path / "a.avi", frames=90, gop=15)
    clips, windows = [range(20, 36), range(30, 46), [29, 29, 80]], [None, (2, 3, 20, 30), None]
    begun = []
    original = sequence.sound_frames
    monkeypatch.setattr(sequence, "sound_frames", lambda *given: begun.append(given[3]) or original(*given))
    found = read_clips(path, clips, SIZE, windows)
    assert len(begun) == 2, "once for frames 20 to 45, once for 80"
    for read, clip, window in zip(found, clips, windows, strict=True):
        assert np.array_equal(read.pixels, read_frames(path, clip, SIZE, window).pixels)


def test_windows_repeats_and_resizing(tmp_path: Path, write_video) -> None:
    path = write_video(tmp_path / "a.mp4")
    everything = read_all(path, SIZE)
    assert everything.pixels.shape == (24, *SIZE, 3) and everything.pixels.dtype == np.uint8
    window = read_frames(path, [5, 2, 5], SIZE, (3, 4, 20, 30))
    assert np.array_equal(window.pixels, everything.pixels[[5, 2, 5], 3:23, 4:34])
    assert np.array_equal(read_all(path, (48, 64)).pixels, sequence_of(path, (48, 64)))
    with pytest.raises(ValueError, match="sticks out of frames of 36x48"):
        read_frames(path, [0], SIZE, (20, 0, 20, 20))
    for wrong in ([24], [-1], []):
        for decoder in ("pyav", None):
            with pytest.raises(IndexError):
                read_frames(path, wrong, SIZE, decoder=decoder)


@needs_decord
def test_decord_reads_only_files_in_which_its_seeks_are_exact(tmp_path: Path, write_video) -> None:
    assert probe(write_video(tmp_path / "closed.avi"), "decord").decoder == "decord"
    assert probe(write_video(tmp_path / "h264.mp4", codec="libx264", b_frames=2), "decord").decoder == "decord"
    open_groups = write_video(tmp_path / "open.avi", frames=40, b_frames=2)
    assert probe(open_groups, "decord").decoder == "pyav"
    assert np.array_equal(assert_pure(open_groups), sequence_of(open_groups, SIZE))
    with_seeks = [read_frames(open_groups, [index], SIZE, decoder="decord").pixels[0] for index in range(40)]
    assert not np.array_equal(np.stack(with_seeks), sequence_of(open_groups, SIZE)), "decord became exact: use it here too"


@needs_decord
def test_decord_reads_no_video_of_which_it_may_hold_much(tmp_path: Path, write_video, monkeypatch) -> None:
    """It decodes ahead, and keeps all of it."""
    path = write_video(tmp_path / "a.avi")
    monkeypatch.setattr(with_decord, "_SMALL", 48 * 64 - 1)
    monkeypatch.setattr(with_decord, "_BYTES", 24 * 48 * 64 * 3)
    assert probe(path, "decord").decoder == "decord"
    monkeypatch.setattr(with_decord, "_BYTES", 24 * 48 * 64 * 3 - 1)
    assert probe(write_video(tmp_path / "b.avi"), "decord").decoder == "pyav"
    monkeypatch.setattr(with_decord, "_SMALL", 48 * 64)
    assert probe(write_video(tmp_path / "c.avi"), "decord").decoder == "decord"


def test_pyav_reads_everything_where_decord_is_not_installed(tmp_path: Path, write_video, monkeypatch) -> None:
    path = write_video(tmp_path / "a.avi")
    monkeypatch.setattr(decoding, "_installed", lambda decoder: decoder == "pyav")
    assert decoding.decoder_versions().keys() == {"pyav"}
    assert probe(path, "decord").decoder == "pyav"
    assert np.array_equal(read_frames(path, range(24), SIZE, decoder="decord").pixels, sequence_of(path, SIZE))


@pytest.mark.parametrize("with_zeros", [True, False], ids=["zeros", "noise"])
@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mpeg4"), ("a.mp4", "mpeg4"), ("b.mp4", "libx264")])
@pytest.mark.parametrize(("start", "end"), [(0.05, 0.1), (0.45, 0.47), (0.35, 0.65)])
def test_damage_is_replaced_by_earlier_frames_and_counted(
    tmp_path: Path, write_video, capfd, name: str, codec: str, with_zeros: bool, start: float, end: float
) -> None:
    path = write_video(tmp_path / name, frames=60, height=120, width=160, codec=codec, gop=12)
    sound = read_all(path, SIZE).pixels.astype(int)
    spoil(path, start, end, with_zeros)
    found = probe(path)
    assert found.decoder == "pyav" and 25 <= found.frames <= 60
    pixels, replaced = decode(path, range(found.frames), SIZE)
    assert 0 < read_all(path, SIZE).replaced == replaced.sum() < 40
    assert np.array_equal(assert_pure(path), pixels)
    assert pixels.reshape(found.frames, -1).std(axis=1).min() > 20, "a frame is black or grey"
    for index in np.flatnonzero(replaced):
        earlier = np.flatnonzero(~replaced[:index])
        source = earlier[-1] if earlier.size else np.flatnonzero(~replaced)[0]
        assert np.array_equal(pixels[index], pixels[source])
    if name.endswith("mp4"):  # the index of an mp4 keeps frames in their places; in an avi those after a gap move up
        intact = np.abs(pixels - sound[: found.frames]).reshape(found.frames, -1).max(axis=1) <= 2
        assert (~intact & ~replaced).sum() <= int(codec == "libx264" and not with_zeros)  # noise may decode without error
    assert capfd.readouterr().err == ""


def test_a_video_cut_off_has_the_frames_before_the_cut(tmp_path: Path, write_video) -> None:
    path = write_video(tmp_path / "a.avi", frames=60, height=120, width=160)
    expected = sequence_of(path, SIZE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = probe(path)
    assert 20 <= found.frames <= 35
    frames = read_all(path, SIZE)
    assert frames.replaced == 0 and np.array_equal(frames.pixels, expected[: found.frames])


def test_files_that_are_no_videos_are_refused_with_the_reason(tmp_path: Path, write_video) -> None:
    def refused(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DecodingError) as caught:
            probe(tmp_path / name)
        return str(caught.value)

    whole = write_video(tmp_path / "whole.mp4").read_bytes()
    assert refused("empty.avi", b"") == "empty file"
    assert "another kind of file" in refused("text.avi", b"this is no video\n" * 100)
    assert "cut off before its index" in refused("cut.mp4", whole[: len(whole) // 2])
    assert "another kind of file" in refused("zeros.mp4", bytes(10_000))
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode())
    assert refused("sound.mp4", (tmp_path / "sound.mp4").read_bytes()) == "no video stream"
    avi = bytearray(write_video(tmp_path / "known.avi").read_bytes())
    assert (
        refused("unknown.avi", avi.replace(b"FMP4", b"\x01\x02\x03\x04")) == "a video stream in a codec that PyAV does not know"
    )
    with pytest.raises(DecodingError, match="cannot be read: No such file"):
        probe(tmp_path / "absent.avi")


def test_a_changed_file_is_probed_again(tmp_path: Path, write_video) -> None:
    path = write_video(tmp_path / "a.avi", frames=9)
    assert probe(path).frames == 9
    assert probe(write_video(path, frames=12)).frames == 12


@pytest.mark.parametrize("name", ["odd size.avi", "кадр №1.mkv", "ONE.MPG"])
def test_odd_sizes_and_names(tmp_path: Path, write_video, name: str) -> None:
    codec = "mpeg2video" if name.endswith("MPG") else "mpeg4"
    height, width = (127, 171) if name.startswith("odd") else (48, 64)
    path = write_video(tmp_path / name, frames=13, height=height, width=width, codec=codec, b_frames=int(codec != "mpeg4"))
    found = probe(path)
    assert (found.frames, found.height, found.width) == (13, height, width)
    assert np.abs(assert_pure(path).astype(int) - sequence_of(path, SIZE)).max() <= 2


@pytest.mark.parametrize(
    ("width", "height", "frames", "more"), [(7680, 4320, 4, 10**9), (3840, 2160, 40, 10**9), (16, 16, 20_000, 10**8)]
)
def test_memory_is_bounded_whatever_the_size_and_length(
    tmp_path: Path, width: int, height: int, frames: int, more: int
) -> None:
    """Probed and stored in a process of its own: its peak, or, of the long video, what it takes beyond its start."""
    path = tmp_path / "large.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.max_b_frames = width, height, "yuv420p", 0
        for time in range(frames):
            frame = av.VideoFrame(width, height, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([time % 200]) * plane.buffer_size)
            frame.pts = time
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    code = f"""
from pathlib import Path
import torch
from trainables.video.cache import FrameCache
from trainables.video.videos import Video
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
before = peak()
FrameCache(Path({str(tmp_path)!r}) / "frames", 10**10).fill([Video("a", Path({str(path)!r}), 0, "a")], (64, 64))
print(before, peak())
"""
    root = Path(decoding.__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", code], check=True, cwd=root, capture_output=True, text=True)
    before, after = map(int, run.stdout.split())
    assert len(list((tmp_path / "frames").glob("*.npy"))) == 1
    assert after - (before if frames == 20_000 else 0) < more, f"{before / 2**20:.0f} MiB, then {after / 2**20:.0f}"
