"""Predictions of videos: averages over clips against single clips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from trainables.data import open_data
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, with_values
from trainables.stages.evaluate import predict
from trainables.stages.finetune import Classifier
from trainables.stages.work import Work


def decided(classifier: Classifier) -> Classifier:
    """Weights, the same each time, with which predictions differ clearly from clip to clip."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in classifier.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * (1.5 / parameter[0].numel() ** 0.5))
    return classifier.eval()


@pytest.fixture
def predictions(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> Callable[..., torch.Tensor]:
    """Predictions of a random network for the six test videos, under changed settings."""

    def make(**changes: Any) -> torch.Tensor:
        settings = with_values(tiny, {name.replace("__", "."): value for name, value in changes.items()})
        place = runtime()
        videos = open_data(settings.data, place)["downstream"]
        work = Work("evaluate", settings, 0, videos, {}, place)
        torch.manual_seed(0)
        return predict(work, decided(Classifier(settings, 6)), videos.test)

    return make


def test_probabilities_are_averaged_over_the_clips(predictions: Callable[..., torch.Tensor]) -> None:
    """A clip as long as its video leaves one place for it: ten of them average to one."""
    one = predictions(video__clip_frames=20, evaluation__clips=1)
    ten = predictions(video__clip_frames=20, evaluation__clips=10)
    assert one.shape == (6, 6)
    assert float((one[0] - one[1]).abs().max()) > 0.01, "predictions differ"
    torch.testing.assert_close(one, ten)
    torch.testing.assert_close(one.sum(1), torch.ones(6))


def test_two_clips_average_to_the_mean_of_the_two(predictions: Callable[..., torch.Tensor]) -> None:
    """Clips of 8 at the starts 0 and 12 together, against three at 0, 6 and 12 and one at 6: a + c = 3 (a + b + c) / 3 - b."""
    two, three, middle = (predictions(evaluation__clips=clips) for clips in (2, 3, 1))
    torch.testing.assert_close(two * 2, three * 3 - middle, atol=1e-5, rtol=1e-4)
    logits = predictions(evaluation__clips=2, evaluation__average="logits")
    assert float((logits.softmax(1) - two).abs().max()) > 1e-3
    assert not torch.allclose(logits.sum(1), torch.ones(6))
