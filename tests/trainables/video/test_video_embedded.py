"""The embedded clips: the same files every time, and classes that show in motion and not in single frames."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from trainables.settings import EmbeddedSettings
from trainables.video import embedded
from trainables.video.decoding import read_all
from trainables.video.embedded import CLASSES, draw_video, embedded_videos
from trainables.video.inventory import take_inventory
from trainables.video.videos import PARTS, DataError

SMALL = EmbeddedSettings(classes=6, train=2, validation=1, test=1, frames=12, height=32, width=40)


def test_the_files_follow_from_the_settings_to_the_byte(tmp_path: Path) -> None:
    first, second = (embedded_videos(SMALL, tmp_path / name) for name in "ab")
    other = embedded_videos(SMALL.model_copy(update={"seed": 1}), tmp_path / "a")
    for one, two, third in zip(first.train, second.train, other.train, strict=True):
        assert one.name == two.name != third.name
        assert one.path.read_bytes() == two.path.read_bytes() != third.path.read_bytes()
    assert first.fingerprint() == second.fingerprint() != other.fingerprint()
    assert first.classes == CLASSES[:6] and len(CLASSES) == 10
    assert [len(part) for part in (first.train, first.validation, first.test)] == [12, 6, 6]
    groups = [video.group for video in (*first.train, *first.validation, *first.test)]
    assert len(set(groups)) == len(groups) == 24


def test_the_files_do_not_depend_on_how_many_are_drawn_at_once(tmp_path: Path, monkeypatch) -> None:
    """Nor do what is known of them, and their order."""
    made = []
    for threads in (1, 8):
        monkeypatch.setattr(embedded, "_THREADS", threads)
        monkeypatch.setattr(embedded.os, "cpu_count", lambda: 8)
        videos = embedded_videos(SMALL, tmp_path / str(threads))
        known = (videos.train[0].path.parents[1] / embedded.CONTENTS).read_bytes()
        made.append(
            (known, [(video.name, video.path.read_bytes()) for video in (*videos.train, *videos.validation, *videos.test)])
        )
    assert made[0] == made[1] and len(made[0][1]) == 24


def test_no_two_videos_are_alike_whatever_their_part() -> None:
    settings = SMALL
    first_frames = {
        draw_video(settings, label, part, number)[0].tobytes()
        for label in range(6)
        for part in ("train", "validation", "test")
        for number in range(4)
    }
    assert len(first_frames) == 72


def test_only_what_is_missing_is_generated(tmp_path: Path, monkeypatch) -> None:
    videos = embedded_videos(SMALL, tmp_path)
    content = videos.test[3].path.read_bytes()
    videos.test[3].path.unlink()
    drawn = []
    original = embedded.draw_video
    monkeypatch.setattr(embedded, "draw_video", lambda *wanted: drawn.append(wanted[1:]) or original(*wanted))
    assert embedded_videos(SMALL, tmp_path) == videos
    assert drawn == [(3, "test", 0)] and videos.test[3].path.read_bytes() == content
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("keep", [0, 5, 100, 0.5, 0.999])
def test_a_clip_that_was_cut_off_is_generated_again(tmp_path: Path, keep: float) -> None:
    videos = embedded_videos(SMALL, tmp_path)
    path = videos.train[0].path
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep if keep >= 1 else keep * len(whole))])
    assert embedded_videos(SMALL, tmp_path).fingerprint() == videos.fingerprint()
    assert path.read_bytes() == whole


def test_a_clip_with_other_content_is_generated_again(tmp_path: Path) -> None:
    """A flipped bit, which leaves it a whole mp4; and what is known of contents is no more trusted than the clips."""
    videos = embedded_videos(SMALL, tmp_path)
    path = videos.train[0].path
    contents = path.parent.parent / embedded.CONTENTS
    whole, known = path.read_bytes(), contents.read_bytes()
    path.write_bytes(flipped(whole))
    assert embedded_videos(SMALL, tmp_path).fingerprint() == videos.fingerprint()
    assert path.read_bytes() == whole
    for lost in (flipped(known), b"", None):
        contents.unlink() if lost is None else contents.write_bytes(lost)
        assert embedded_videos(SMALL, tmp_path) == videos
        assert contents.read_bytes() == known


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 16]) + content[middle + 1 :]


def test_they_are_read_as_any_dataset(tmp_path: Path) -> None:
    videos = embedded_videos(SMALL, tmp_path)
    taken = take_inventory(videos, tmp_path)
    assert not taken.skipped and {video.frames for video in taken.train} == {12}
    decoded = read_all(videos.train[0].path, (32, 40)).pixels.astype(float)
    assert np.abs(decoded - draw_video(SMALL, 0, "train", 0)).mean() < 6


@pytest.mark.parametrize(
    "wrong", [{"classes": 5}, {"classes": 11}, {"width": 33}, {"height": 14}, {"frames": 1}, {"train": 0}, {"test": 0}]
)
def test_settings_of_which_nothing_can_be_generated_are_no_settings(wrong: dict[str, int]) -> None:
    """Motions are 6 to 10; sides are even, for yuv420p."""
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        EmbeddedSettings(**wrong)


def test_a_directory_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/embedded-.* cannot be written there"):
        embedded_videos(SMALL, tmp_path / "file")


def test_clips_of_another_domain_look_or_move_otherwise(tmp_path: Path) -> None:
    usual = embedded_videos(SMALL, tmp_path)
    for domain in ("appearance", "pace"):
        other = embedded_videos(SMALL.model_copy(update={"domain": domain}), tmp_path)
        assert other.classes == usual.classes and len(other.train) == len(usual.train)
        contents = {video.path.read_bytes() for video in (*usual.train, *other.train)}
        assert len(contents) == 2 * len(usual.train)
    paces = [embedded._Scene(np.random.default_rng(seed), 2, embedded._DOMAINS["pace"].paces).pace for seed in range(100)]
    assert min(paces) >= 0.3 and max(paces) <= 0.6 < embedded._USUAL.paces[0]


def test_a_domain_of_other_motions_has_as_many_videos(tmp_path: Path) -> None:
    settings = SMALL.model_copy(update={"domain": "motions"})
    usual, other = embedded_videos(SMALL, tmp_path), embedded_videos(settings, tmp_path)
    assert other.classes == CLASSES[6:] and not set(other.classes) & set(usual.classes)
    assert [len(other.part(part)) for part in PARTS] == [12, 8, 8], "as many as divide by the classes, or a few more"
    assert {video.label for video in other.train} == {0, 1, 2, 3}
    with pytest.raises(DataError, match="classes = 9 leaves fewer than two other motions; valid: 6 to 8"):
        embedded_videos(settings.model_copy(update={"classes": 9}), tmp_path)


@pytest.mark.parametrize("label", range(len(CLASSES)))
def test_sped_up_four_times_no_motion_is_aliased(label: int) -> None:
    """From every fourth frame to the next, no shape travels half of the frame or turns half of a third (the least turn
    after which a shape looks the same), and no sweep to and fro passes its half."""
    for seed in range(40):
        scene = embedded._Scene(np.random.default_rng(seed), 56)
        embedded._MOTIONS[CLASSES[label]](scene)
        over_time = {"centre": scene.centre.T, "distance": scene.distance, "direction": scene.direction}
        over_time |= {"sizes": scene.sizes, "angles": scene.angles}
        steps = {name: np.abs(np.diff(values[..., ::4], axis=-1)) for name, values in over_time.items()}
        moving = [name for name, step in steps.items() if (step > 0.003).mean() > 0.2]
        assert len(moving) == 1, f"one thing changes: {moving}"
        assert steps["centre"].max() < 0.5
        assert max(steps["angles"].max(), steps["direction"].max()) < np.pi / 3
        assert 4 * scene.pace / embedded._PERIOD < 0.5
        for name, (low, high) in (("sizes", embedded._SIZES), ("distance", embedded._DISTANCES)):
            assert low <= over_time[name].min() and over_time[name].max() <= high


def accuracy(train: np.ndarray, labels: np.ndarray, test: np.ndarray, expected: np.ndarray) -> float:
    """Test accuracy of a linear softmax classifier with weight decay, on standardised features."""
    mean, spread = train.mean(axis=0), train.std(axis=0) + 1e-6
    inputs, others = (torch.from_numpy((part - mean) / spread).double() for part in (train, test))
    weights = torch.zeros(inputs.shape[1] + 1, int(labels.max()) + 1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=60)
    decay = 3.0 / inputs.shape[0]

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        logits = inputs @ weights[:-1] + weights[-1]
        fit = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels))
        value = fit + decay * weights[:-1].square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    with torch.no_grad():
        predicted = (others @ weights[:-1] + weights[-1]).argmax(dim=1).numpy()
    return float((predicted == expected).mean())


def single_frame_features(pixels: np.ndarray) -> np.ndarray:
    """The middle frame at 10x10, the spectrum of its brightness (the same wherever things are), and its colours."""
    frame = pixels[len(pixels) // 2].astype(np.float64) / 255
    small = frame.reshape(10, 4, 10, 4, 3).mean(axis=(1, 3))
    spectrum = np.log1p(np.abs(np.fft.rfft2(frame.mean(axis=2))))[:12, :12]
    colours = np.quantile(frame, np.linspace(0, 1, 9), axis=(0, 1))
    return np.concatenate([small.ravel(), spectrum.ravel(), colours.ravel()])


def motion_features(pixels: np.ndarray) -> np.ndarray:
    """Optical flow by least squares (Lucas and Kanade) in 4x4 windows of 10x10 pixels: mean, size and constancy."""
    grey = pixels.astype(np.float64).mean(axis=3) / 255
    change = np.diff(grey, axis=0)
    down, along = np.gradient(grey[:-1], axis=(1, 2))

    def windows(product: np.ndarray) -> np.ndarray:
        return product.reshape(len(product), 4, 10, 4, 10).sum(axis=(2, 4))

    a, b, c = windows(along * along) + 0.02, windows(along * down), windows(down * down) + 0.02
    p, q = windows(along * change), windows(down * change)
    flow = np.stack([b * q - c * p, b * p - a * q]) / (a * c - b * b)  # (x and y, frames, 4, 4)
    mean = flow.mean(axis=(2, 3))
    size = np.abs(flow).mean(axis=(2, 3))
    lasting = np.abs(flow.mean(axis=1)).mean(axis=(1, 2))
    power = np.mean(flow**2, axis=(1, 2, 3)) + 1e-4
    repeated = [np.mean(flow[:, lag:] * flow[:, :-lag], axis=(1, 2, 3)) / power for lag in (4, 9)]
    features = [mean.mean(axis=1), np.abs(mean.mean(axis=1)), mean.std(axis=1), size.mean(axis=1), size.std(axis=1)]
    return np.concatenate([*features, lasting, *repeated])


def test_a_single_frame_says_nothing_of_the_class_and_motion_does() -> None:
    settings = EmbeddedSettings(classes=8, train=40, validation=1, test=24, frames=56, height=40, width=40)
    seen = {}
    for part, count in (("train", settings.train), ("test", settings.test)):
        labels = np.repeat(np.arange(8), count)
        drawn = [draw_video(settings, label, part, number) for label in range(8) for number in range(count)]
        seen[part] = labels, *(np.stack([f(p) for p in drawn]) for f in (single_frame_features, motion_features))
    (labels, frames, motions), (expected, other_frames, other_motions) = seen["train"], seen["test"]
    by_frame = accuracy(frames, labels, other_frames, expected)
    by_motion = accuracy(motions, labels, other_motions, expected)
    print(f"top-1 of 8 classes by a single frame {by_frame:.3f}, by motion {by_motion:.3f}; chance 0.125")
    assert by_frame < 0.125 + 3 * np.sqrt(0.125 * 0.875 / len(expected))
    assert by_motion > 0.6


def test_the_contact_sheet_shows_every_class(tmp_path: Path) -> None:
    from PIL import Image

    embedded.write_contact_sheet(tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 700 and sheet.height > 70 * len(CLASSES)
        assert len(set(sheet.convert("L").tobytes())) > 50
