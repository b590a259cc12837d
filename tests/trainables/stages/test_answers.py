"""What is kept of each video, against scores by hand; which videos are the hardest; pictures against the videos they are of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from trainables.data import open_data
from trainables.pipeline import Experiment, run_experiment
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, with_values
from trainables.stages.answers import answers, hardest
from trainables.stages.pictures import FRAMES, SAMPLES
from trainables.store import Artifact
from trainables.video.videos import UNLABELLED, Video

SCORES = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4], [0.2, 0.1, 0.7]])
LABELS = (0, 2, UNLABELLED, 0)


def videos() -> list[Video]:
    return [Video(f"{number}.avi", Path(f"{number}.avi"), label, "g") for number, label in enumerate(LABELS)]


def test_a_row_per_video() -> None:
    found = answers(("run", "walk", "sit"), {"test": (SCORES, videos())})["videos.json"]
    assert found == {
        "classes": ["run", "walk", "sit"],
        "test": {
            "name": ["0.avi", "1.avi", "2.avi", "3.avi"],
            "label": [0, 2, -1, 0],
            "predicted": [0, 1, 2, 2],
            "score": [0.7, 0.6, 0.4, 0.7],
            "label_score": [0.7, 0.3, None, 0.2],
        },
    }


def test_the_hardest_are_those_whose_label_lags_most_behind() -> None:
    """Margins of the labels: +0.5, -0.3, none, -0.5."""
    assert hardest(SCORES, videos(), 2) == [3, 1]
    assert hardest(SCORES, videos(), 8) == [3, 1, 0]


def test_kept_by_the_stages(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    """Shares of right answers in videos.json are the metrics; strips of the hardest show frames of those very videos; samples
    are the clips of an epoch, changed; neighbours are of the gallery, the nearest first."""
    place = runtime()
    settings = with_values(tiny, {"evaluation.measures": ["finetune", "linear_probe", "retrieval"]})
    result = run_experiment(Experiment(settings, 0), place, lambda line: None)
    store = place.open_store()

    def artifact(stage: str) -> Artifact:
        found = store.find(stage, result.stages[stage])
        assert found is not None
        return found

    for stage, metric in (("evaluate", "top1"), ("linear_probe", "linear_probe_top1")):
        for part in ("validation", "test"):
            said = artifact(stage).document("videos.json")[part]
            right = np.mean(np.array(said["label"]) == np.array(said["predicted"]))
            assert result.metrics[f"{part}/{metric}"] == pytest.approx(right)

    test = open_data(settings.data, place)["downstream"].test
    pictures = artifact("evaluate").tensors("pictures")
    assert pictures["hardest"].shape == (6, FRAMES, settings.video.crop, settings.video.crop, 3)
    for number, strip in zip(pictures["hardest_numbers"].tolist(), pictures["hardest"].numpy(), strict=True):
        with av.open(str(test[number].path)) as file:
            frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
        top, left = ((whole - settings.video.crop) // 2 for whole in frames[0].shape[:2])
        for shown, frame in ((strip[0], frames[0]), (strip[-1], frames[-1])):
            cropped = frame[top : top + settings.video.crop, left : left + settings.video.crop]
            assert np.abs(shown.astype(float) - cropped).mean() < 3
    assert artifact("pretext").tensors("pictures")["samples"].shape[0] == SAMPLES

    found = artifact("retrieval").document("neighbours.json")
    nearest = np.array(found["test"]["nearest"])
    labels = np.array(found["gallery"]["label"])[nearest]
    hits = labels == np.array(found["test"]["label"])[:, None]
    assert result.metrics["test/retrieval_r1"] == pytest.approx(hits[:, 0].mean())
    assert result.metrics["test/retrieval_r5"] == pytest.approx(hits.any(1).mean())
    assert (np.diff(found["test"]["similarity"], axis=1) <= 0).all()
    strips = artifact("retrieval").tensors("pictures")
    assert strips["neighbours"].shape[:3] == (len(strips["query_numbers"]), 5, FRAMES)
