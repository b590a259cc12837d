"""Augmentation: pixels against a float64 formula per pixel, and which draws are shared by the frames of a clip."""

from __future__ import annotations

import colorsys
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.settings import AugmentationSettings, VideoSettings
from trainables.video.augmentation import draw_change, to_network, unchanged

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
