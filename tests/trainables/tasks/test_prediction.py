"""Prediction: weights of the error units by hand, and both metrics in the same units on frames whose errors are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from trainables.models.prednet import PredNet
from trainables.settings import ExperimentSettings, with_values
from trainables.tasks.prediction import Prediction, weighted_errors
from trainables.video.sampling import consecutive_clip
from trainables.video.videos import Video

SMALL = {"prednet.targets": [3, 6], "prednet.representations": [6, 6], "prednet.side": None, "video.pixels": "rgb_unit"}


def task(tiny: ExperimentSettings, **values: object) -> Prediction:
    return Prediction(with_values(tiny, SMALL | {name.replace("__", "."): value for name, value in values.items()}))


def test_a_sample_is_one_clip_of_consecutive_frames(tiny: ExperimentSettings, video: Callable[..., Video]) -> None:
    prediction, rng = task(tiny), np.random.default_rng(0)
    starts = set()
    for _ in range(50):
        sample = prediction.sample(video(10), rng)
        assert np.diff(sample.indices).tolist() == [[1] * 7]
        assert (dict(sample.labels), sample.wrapped) == ({}, 0)
        starts.add(int(sample.indices[0, 0]))
    assert starts == {0, 1, 2}


@pytest.mark.parametrize("upper", [0.0, 0.1])
def test_weights_of_layers_and_frames(upper: float) -> None:
    """[1, upper, upper] over layers; 0 for the first frame and 1 / 3 for each of the three others."""
    errors = np.random.default_rng(0).uniform(size=(2, 4, 3))
    expected = [sum((row[time] @ [1, upper, upper]) / 3 for time in (1, 2, 3)) for row in errors]
    assert weighted_errors(torch.from_numpy(errors), upper).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("side", [None, 8])
def test_error_and_copying_are_mean_absolute_differences_of_pixels(tiny: ExperimentSettings, side: int | None) -> None:
    """A network with all weights 0 predicts black: `error` is the mean of the frames; frame t + 1 is 0.1 brighter than t, which
    is what copying is wrong by.

    With another side for the network both are of the frames as it sees them, which are as bright.
    """
    prediction = task(tiny, prednet__side=side)
    network = prediction.network(PredNet(prediction.settings))
    for parameter in network.parameters():
        parameter.data.zero_()
    brightness = 0.1 * torch.arange(1, 9)
    clips = brightness[:, None, None].expand(2, 1, 3, 8, 12, 12)
    loss, metrics = prediction.loss(network, clips, {})
    assert metrics["error"].tolist() == pytest.approx([float(brightness[1:].mean())] * 2, rel=1e-5)
    assert prediction.baseline([(clips, {}), (clips, {})])["error"] == pytest.approx(0.1, rel=1e-5)
    assert float(loss.detach()) == pytest.approx(float(brightness[1:].mean()) / 2, rel=1e-5)


def test_copying_is_judged_at_the_size_that_the_network_sees(tiny: ExperimentSettings) -> None:
    """Fine noise all but disappears in smaller frames, for the copy as for the prediction."""
    clips = torch.rand(2, 1, 3, 8, 12, 12)
    full, small = (prediction.baseline([(clips, {})])["error"] for prediction in (task(tiny), task(tiny, prednet__side=4)))
    assert full == pytest.approx(1 / 3, abs=0.02), "of two uniform numbers"
    assert small < 0.6 * full


def test_frames_of_a_clip_lie_a_stride_apart_and_a_stride_of_1_is_what_was_before(
    tiny: ExperimentSettings, video: Callable[..., Video]
) -> None:
    strided, plain, length = task(tiny, prediction__stride=3), task(tiny), tiny.video.clip_frames
    assert strided.minimum_frames == 3 * (length - 1) + 1
    starts = set()
    for seed in range(50):
        sample = strided.sample(video(strided.minimum_frames + 2), np.random.default_rng(seed))
        assert np.diff(sample.indices).tolist() == [[3] * (length - 1)]
        starts.add(int(sample.indices[0, 0]))
        before = consecutive_clip(video(40), np.random.default_rng(seed), length)
        assert np.array_equal(plain.sample(video(40), np.random.default_rng(seed)).indices, before.indices)
    assert starts == {0, 1, 2}
    assert strided.valid_for(15) == ", which allow a prediction.stride of at most 2"
    assert strided.valid_for(7) == ""


def test_it_learns_to_predict_a_clip(tiny: ExperimentSettings, fit: Callable[..., list[float]]) -> None:
    torch.manual_seed(0)
    prediction = task(tiny)
    still = torch.rand(4, 1, 3, 1, 12, 12, generator=torch.Generator().manual_seed(0)).expand(4, 1, 3, 8, 12, 12)
    history = fit(prediction, prediction.network(PredNet(prediction.settings)), still, {})
    assert history[-1] < 0.7 * history[0]
