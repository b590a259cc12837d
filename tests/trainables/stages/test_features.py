"""Features of frozen networks against a forward pass of our own on frames read one by one."""

from __future__ import annotations

from collections.abc import Callable

import torch

from trainables.data import open_data
from trainables.models import make_backbone
from trainables.models.weights import load_convolutions
from trainables.pipeline import Experiment, run_experiment
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, with_values
from trainables.store import Store
from trainables.video.cache import FrameCache
from trainables.video.videos import PARTS

MEAN, DEVIATION = torch.tensor([0.43216, 0.394666, 0.37645]), torch.tensor([0.22803, 0.22145, 0.216989])


def test_features_are_those_of_the_network_in_evaluation_mode(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime]
) -> None:
    """Clips of 8 frames at 0, 6 and 12 of 20, the centre 12 x 12 of 16 x 16, Kinetics' mean and deviation, nothing random."""
    values = {"recipe": "pretext", "frozen.clips": 3, "evaluation.measures": ["retrieval"], "pretext.epochs": 1}
    settings, place = with_values(tiny, values), runtime()
    result = run_experiment(Experiment(settings, 0), place, lambda line: None)
    pretext, features = (Store(place.store).find(kind, result.stages[kind]) for kind in ("pretext", "features"))
    assert pretext is not None
    assert features is not None
    found = features.tensors("features")
    network = make_backbone(settings.backbone).eval()
    load_convolutions(network, pretext.tensors())
    videos = open_data(settings.data, place)["downstream"]
    assert set(found) == {name for part in PARTS for name in (part, f"{part}_targets")}
    for part in PARTS:
        assert found[part].shape == (len(videos.part(part)), 3, 8 * 4)
        assert found[f"{part}_targets"].tolist() == [video.label for video in videos.part(part)]
    spread = float(found["test"].flatten(0, 1).std(0).mean())
    assert spread > 1e-5, "clips can be told apart"
    for number, video in enumerate(videos.test):
        for clip, start in enumerate((0, 6, 12)):
            frames = FrameCache(None, 0).read(video, range(start, start + 8), (16, 16)).pixels
            pixels = torch.from_numpy(frames[:, 2:14, 2:14].copy()).float() / 255
            with torch.no_grad():
                expected = network(((pixels - MEAN) / DEVIATION).permute(3, 0, 1, 2)[None])[0]
            torch.testing.assert_close(found["test"][number, clip], expected, rtol=0, atol=0.02 * spread)


def test_frozen_features_of_random_networks_depend_on_the_seed(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime]
) -> None:
    place = runtime()
    settings = with_values(tiny, {"recipe": "scratch", "evaluation.measures": ["retrieval"]})
    found = []
    for seed in (0, 1):
        result = run_experiment(Experiment(settings, seed), place, lambda line: None)
        artifact = Store(place.store).find("features", result.stages["features"])
        assert artifact is not None
        found.append(artifact.tensors("features")["test"])
    assert not torch.allclose(found[0], found[1])
