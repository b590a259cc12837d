"""Augmentation: pixels against a float64 formula per pixel, and which draws are shared by the frames of a clip."""

from __future__ import annotations

import colorsys
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainables.settings import AugmentationSettings, VideoSettings
from trainables.video.augmentation import MOTION_FLOOR, STATISTICS, draw_change, resized, to_network, unchanged

VIDEO = VideoSettings(clip_frames=4, height=12, width=16, crop=8)
BGR = VideoSettings(clip_frames=4, height=12, width=16, crop=8, pixels="bgr_255")
NEUTRAL = (1.0, 1.0, 1.0, 0.0)


def pixels(low: int = 0, high: int = 256) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(low, high, (2, 4, 8, 8, 3), dtype=np.uint8))


def network(clips: Tensor, jitter: Any = NEUTRAL, flip: bool = False) -> Tensor:
    """As the network takes BGR clips, brought back to (B, K, H, W, RGB) in [0, 1]."""
    factors = torch.tensor(jitter, dtype=torch.float32).expand(2, 4, 4).contiguous()
    return to_network(clips, torch.full((2,), flip), factors, BGR).permute(0, 2, 3, 4, 1).flip(-1) / 255


def luma(colour: np.ndarray) -> float:
    """ITU-R BT.601, as in torchvision's rgb_to_grayscale."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def jittered(frame: np.ndarray, brightness: float, contrast: float, saturation: float) -> np.ndarray:
    """torchvision's adjust_brightness, adjust_contrast and adjust_saturation one after another, pixel by pixel, in float64:
    times b; blended with the mean grey of the frame; blended with the pixel's own grey. Clamped at the end."""
    bright = frame * brightness
    mean = float(np.mean([luma(colour) for colour in bright.reshape(-1, 3)]))
    result = np.empty_like(bright)
    for place in np.ndindex(bright.shape[:2]):
        colour = contrast * bright[place] + (1 - contrast) * mean
        result[place] = saturation * colour + (1 - saturation) * luma(colour)
    return np.clip(result, 0, 1)


@pytest.mark.parametrize(
    ("brightness", "contrast", "saturation"),
    [(0.5, 1, 1), (1.7, 1, 1), (1, 0.3, 1), (1, 1.8, 1), (1, 1, 0), (1, 1, 1.6), (0.7, 1.4, 0.5), (1.5, 0.4, 1.8)],
)
def test_brightness_contrast_and_saturation(brightness: float, contrast: float, saturation: float) -> None:
    clips = pixels()
    changed = network(clips, (brightness, contrast, saturation, 0))
    for clip, frame in np.ndindex(2, 4):
        expected = jittered(clips[clip, frame].double().numpy() / 255, brightness, contrast, saturation)
        np.testing.assert_allclose(changed[clip, frame].numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("turn", [-0.5, -0.2, 0.05, 0.2, 0.5])
def test_a_turn_of_hue_keeps_luma_and_the_amount_of_colour(turn: float) -> None:
    """In YIQ: Y stays, (I, Q) turns by the angle; in colours mild enough that nothing is clamped. `colorsys` converts."""
    clips = pixels(100, 150)
    before, after = clips.double().numpy() / 255, network(clips, (1, 1, 1, turn)).double().numpy()
    angles = []
    for place in list(np.ndindex(2, 4, 8, 8))[::17]:
        y, i, q = colorsys.rgb_to_yiq(*before[place])
        y_after, i_after, q_after = colorsys.rgb_to_yiq(*after[place])
        assert y_after == pytest.approx(y, abs=2e-3)  # colorsys rounds its coefficients to two digits
        if math.hypot(i, q) > 0.03:
            assert math.hypot(i_after, q_after) == pytest.approx(math.hypot(i, q), rel=0.03)
            angles.append((math.atan2(q_after, i_after) - math.atan2(q, i)) / (2 * math.pi) - turn)
    errors = (np.array(angles) + 0.5) % 1 - 0.5
    assert len(errors) > 10
    assert np.abs(errors).max() < 0.02


def test_hue_leaves_grey_alone() -> None:
    grey = pixels()[..., :1].expand(-1, -1, -1, -1, 3).contiguous()
    torch.testing.assert_close(network(grey, (1, 1, 1, 0.3)), network(grey), atol=1e-5, rtol=0)


def test_neutral_jitter_is_the_identity_also_beside_a_jittered_frame() -> None:
    clips = pixels()
    factors = torch.tensor(NEUTRAL).repeat(2, 4, 1)
    flip = torch.zeros(2, dtype=torch.bool)
    exact = to_network(clips, flip, factors, BGR)
    assert torch.equal(exact.round(), clips.flip(-1).permute(0, 4, 1, 2, 3).float())
    factors[1, 2] = torch.tensor([0.5, 1.2, 0.7, 0.1])
    mixed = to_network(clips, flip, factors, BGR)
    torch.testing.assert_close(mixed[0], exact[0], atol=2e-3, rtol=0)
    torch.testing.assert_close(mixed[1, :, :2], exact[1, :, :2], atol=2e-3, rtol=0)
    assert float((mixed[1, :, 2] - exact[1, :, 2]).abs().max()) > 10


def test_pixels_of_the_paper_and_of_the_released_code() -> None:
    """RGB: scaled to [0, 1], Kinetics' mean and deviation as torchvision's video models; released: BGR, 0 to 255."""
    clips = pixels()
    flip, factors = torch.zeros(2, dtype=torch.bool), torch.tensor(NEUTRAL).repeat(2, 4, 1)
    mean, deviation = np.array([0.43216, 0.394666, 0.37645]), np.array([0.22803, 0.22145, 0.216989])
    rgb = to_network(clips, flip, factors, VIDEO)
    assert rgb.shape == (2, 3, 4, 8, 8)
    expected = ((clips.double().numpy() / 255 - mean) / deviation).transpose(0, 4, 1, 2, 3)
    np.testing.assert_allclose(rgb.numpy(), expected, atol=1e-5)
    assert float(to_network(clips, flip, factors, BGR)[0, 0, 1, 2, 3].round()) == float(clips[0, 1, 2, 3, 2])


def test_pixels_that_show_only_motion() -> None:
    """A still clip is all zero, whatever it shows; a moving one has mean 0 over time at every place, and deviation about 1."""
    motion = VideoSettings(clip_frames=4, height=12, width=16, crop=8, pixels="rgb_motion")
    flip, factors = torch.zeros(2, dtype=torch.bool), torch.tensor(NEUTRAL).repeat(2, 4, 1)
    still = to_network(pixels()[:, :1].expand(-1, 4, -1, -1, -1).contiguous(), flip, factors, motion)
    assert float(still.abs().max()) < 1e-3
    moving = to_network(pixels(), flip, factors, motion)
    assert moving.shape == (2, 3, 4, 8, 8)
    assert float(moving.mean(2).abs().max()) < 1e-5
    assert moving.flatten(1).std(1).tolist() == pytest.approx([1, 1], rel=0.1)
    brighter = pixels() // 2
    torch.testing.assert_close(to_network(brighter + 60, flip, factors, motion), to_network(brighter, flip, factors, motion))


def test_flip_mirrors_all_frames_of_its_clip_and_no_other() -> None:
    clips = pixels()
    both = to_network(clips, torch.tensor([True, False]), torch.tensor(NEUTRAL).repeat(2, 4, 1), BGR)
    plain = to_network(clips, torch.tensor([False, False]), torch.tensor(NEUTRAL).repeat(2, 4, 1), BGR)
    assert torch.equal(both[0], plain[0].flip(-1)), "left to right"
    assert torch.equal(both[1], plain[1])


def test_jitter_is_drawn_per_frame_or_per_clip() -> None:
    rng = np.random.default_rng(0)
    per_frame = draw_change(VIDEO, AugmentationSettings(jitter_probability=1), rng).jitter
    per_clip = draw_change(VIDEO, AugmentationSettings(jitter_probability=1, jitter_per="clip"), rng).jitter
    assert per_frame.shape == per_clip.shape == (4, 4)
    assert len(np.unique(per_frame, axis=0)) == 4
    assert len(np.unique(per_clip, axis=0)) == 1


def test_draws_stay_in_their_ranges_and_use_them() -> None:
    """brightness, contrast, saturation: 1 +- strength; hue: +- strength. Crop anywhere in the frame, flip half of the time."""
    settings = AugmentationSettings(brightness=0.8, contrast=0.5, saturation=0.3, hue=0.1, jitter_probability=0.8)
    rng = np.random.default_rng(0)
    changes = [draw_change(VIDEO, settings, rng) for _ in range(1000)]
    strengths = np.array([0.8, 0.5, 0.3, 0.1])
    spread = np.abs(np.concatenate([change.jitter for change in changes]) - NEUTRAL) / strengths
    assert np.all(spread <= 1 + 1e-6)
    assert np.all(spread.max(axis=0) > 0.98)
    assert {change.window[0] for change in changes} == set(range(5))
    assert {change.window[1] for change in changes} == set(range(9))
    assert {change.window[2:] for change in changes} == {(8, 8)}
    assert 421 < sum(change.flip for change in changes) < 579, "5 standard deviations around 500"
    jittered_clips = sum(bool(np.any(change.jitter != NEUTRAL)) for change in changes)
    assert 737 < jittered_clips < 863, "5 standard deviations around 800"


@pytest.mark.parametrize("form", ["rgb_normalised", "rgb_imagenet", "rgb_unit", "bgr_255", "rgb_motion"])
def test_layouts_have_the_same_pixels_and_unjittered_ones_are_the_formula_to_the_bit(form: Any) -> None:
    """One of two clips mirrored: p / 255, times 255 or less the mean over the deviation, of a channel or of the clip."""
    video = VIDEO.model_copy(update={"pixels": form})
    flip, jitter = torch.tensor([False, True]), torch.tensor(NEUTRAL).expand(2, 4, 4)
    clips = torch.stack([pixels()[0], pixels()[1].flip(2)]).permute(0, 4, 1, 2, 3).float() / 255
    if form == "bgr_255":
        clips = clips.flip(1) * 255
    elif form == "rgb_motion":
        clips = clips - clips.mean(2, keepdim=True)
        clips = clips / (clips.flatten(1).std(1)[:, None, None, None, None] + MOTION_FLOOR)
    elif form in STATISTICS:
        mean, deviation = (torch.tensor(values)[:, None, None, None] for values in STATISTICS[form])
        clips = (clips - mean) / deviation
    plain = to_network(pixels(), flip, jitter, video)
    if form == "rgb_motion":
        torch.testing.assert_close(plain, clips, atol=1e-5, rtol=1e-5)
    else:
        assert torch.equal(plain, clips)
    for colours in (jitter, torch.tensor((0.7, 1.4, 0.5, 0.1)).expand(2, 4, 4)):
        contiguous, last = (to_network(pixels(), flip, colours, video, layout) for layout in (False, True))
        assert contiguous.is_contiguous() and last.is_contiguous(memory_format=torch.channels_last_3d)
        assert torch.equal(contiguous, last)


def test_evaluation_is_the_centre_crop_and_nothing_else() -> None:
    change = unchanged(VIDEO)
    assert change.window == (2, 4, 8, 8)
    assert not change.flip
    assert np.array_equal(change.jitter, np.tile(NEUTRAL, (4, 1)))


def test_probability_zero_means_never() -> None:
    settings = AugmentationSettings(flip_probability=0, jitter_probability=0)
    rng = np.random.default_rng(0)
    for _ in range(50):
        change = draw_change(VIDEO, settings, rng)
        assert not change.flip
        assert np.array_equal(change.jitter, np.tile(NEUTRAL, (4, 1)).astype(np.float32))


@given(st.integers(8, 60), st.integers(8, 60), st.tuples(st.floats(0, 1), st.floats(0, 1)), st.integers(0, 2**32 - 1))
def test_windows_of_any_area_lie_in_the_frame(height: int, width: int, area: tuple[float, float], seed: int) -> None:
    video = VideoSettings(clip_frames=4, height=height, width=width, crop=8)
    settings = AugmentationSettings(crop_area=(min(area), max(area)))
    top, left, rows, columns = draw_change(video, settings, np.random.default_rng(seed)).window
    assert rows >= 1
    assert columns >= 1
    assert 0 <= top <= height - rows
    assert 0 <= left <= width - columns


def test_windows_cover_the_share_and_have_the_sides_asked_for() -> None:
    """Area uniform in 0.4 to 0.5 of a frame so large that no side is cut; sides 3:4 to 4:3, the logarithm uniform; anywhere."""
    video = VideoSettings(clip_frames=4, height=300, width=300, crop=112)
    rng = np.random.default_rng(0)
    settings = AugmentationSettings(crop_area=(0.4, 0.5))
    windows = np.array([draw_change(video, settings, rng).window for _ in range(1000)], dtype=float)
    shares, ratios = windows[:, 2] * windows[:, 3] / 300**2, windows[:, 3] / windows[:, 2]
    assert 0.397 < shares.min() < 0.405
    assert 0.495 < shares.max() < 0.503
    assert shares.mean() == pytest.approx(0.45, abs=0.005)
    assert 0.745 < ratios.min() < 0.76
    assert 1.315 < ratios.max() < 1.34
    assert np.log(ratios).mean() == pytest.approx(0, abs=0.03)
    places = windows[:, :2] / (300 - windows[:, 2:])
    assert places.mean(0) == pytest.approx([0.5, 0.5], abs=0.05)
    assert places.min() < 0.01
    assert places.max() > 0.99


def test_resized_windows_have_the_crop_s_shape_and_keep_what_is_uniform_or_of_that_size() -> None:
    rng = np.random.default_rng(0)
    for height, width in ((5, 20), (8, 9), (31, 17)):
        clip = rng.integers(0, 256, (4, height, width, 3), dtype=np.uint8)
        scaled = resized(clip, 8)
        assert scaled.shape == (4, 8, 8, 3)
        assert scaled.dtype == np.uint8
        assert np.abs(scaled.mean((1, 2)) - clip.mean((1, 2))).max() < 12, "the mean colour of each frame"
        assert np.array_equal(resized(np.full_like(clip, 77), 8), np.full((4, 8, 8, 3), 77, dtype=np.uint8))
    same = rng.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    assert np.array_equal(resized(same, 8), same)


def test_halving_averages_neighbours() -> None:
    """Bilinear with antialiasing, half the size: weights 1/8, 3/8, 3/8, 1/8 along each side, written out for an inner pixel."""
    clip = np.random.default_rng(1).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)
    weights = np.array([1, 3, 3, 1]) / 8
    expected = np.einsum("i,j,ijc->c", weights, weights, clip[0, 5:9, 7:11].astype(float))
    np.testing.assert_allclose(resized(clip, 8)[0, 3, 4], expected, atol=1.01)


def test_a_grey_clip_has_three_equal_channels_in_every_frame() -> None:
    """Whatever else its colours go through; and it is as bright as the clip in colour was."""
    settings = AugmentationSettings(grey_probability=1.0, jitter_probability=1.0, hue=0.3)
    rng = np.random.default_rng(0)
    jitter = torch.from_numpy(np.stack([draw_change(VIDEO, settings, rng).jitter for _ in range(2)]))
    grey = to_network(pixels(), torch.zeros(2, dtype=torch.bool), jitter, BGR)
    torch.testing.assert_close(grey[:, 0], grey[:, 1], atol=1e-2, rtol=0)
    torch.testing.assert_close(grey[:, 0], grey[:, 2], atol=1e-2, rtol=0)
    assert float(grey.std()) > 10
    plain = AugmentationSettings(grey_probability=1.0, jitter_probability=0.0)
    shown = network(pixels(), draw_change(VIDEO, plain, rng).jitter[0])
    expected = [[luma(colour) for colour in frame.reshape(-1, 3)] for frame in pixels()[0].double().numpy() / 255]
    np.testing.assert_allclose(shown[0, ..., 0].reshape(4, -1).numpy(), expected, atol=1e-5)


def test_grey_is_drawn_once_per_clip_as_often_as_asked() -> None:
    """And without it the draws are what they were: no random number is taken for a probability of 0."""
    settings = AugmentationSettings(grey_probability=0.2, jitter_probability=0.8)
    rng = np.random.default_rng(0)
    saturations = [draw_change(VIDEO, settings, rng).jitter[:, 2] for _ in range(1000)]
    grey = [bool(np.all(saturation == 0)) for saturation in saturations]
    assert [bool(np.any(saturation == 0)) for saturation in saturations] == grey
    assert 137 < sum(grey) < 263, "5 standard deviations around 200"
    never = AugmentationSettings()
    first, second = (np.random.default_rng(3) for _ in range(2))
    for _ in range(5):
        draw_change(VIDEO, never, first)
    for _ in range(5):
        second.integers(5), second.integers(9), second.random()
        if second.random() < 0.8:
            second.uniform(-1, 1, (4, 4))
    assert first.integers(2**62) == second.integers(2**62)
