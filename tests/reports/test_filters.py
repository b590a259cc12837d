"""Pictures of first convolutions: which weights are read, what a filter looks like, and what is said where there are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from harness.ledger import Record
from reports.figures import FIGURES
from reports.filters import FilterPanels, conv1_filters, draw_filters, first_filters, tiled

Make = Callable[..., Record]
FIGURE = FIGURES["graph/figure3"]
MMGD, OURS = FIGURE.rows
KEYS = {"sorting": "s0", "ego_motion": "e0", "tracking": "t0", "prediction": "p0"}
RNG = np.random.default_rng(0)


def weights(store: Path, kind: str, key: str, **tensors: np.ndarray) -> None:
    directory = store / kind / key
    directory.mkdir(parents=True)
    save_file({name.replace("_", "."): value for name, value in tensors.items()}, directory / "weights.safetensors")


def filters(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for kind in ("sorting", "ego_motion", "tracking"):
        weights(tmp_path, kind, KEYS[kind], features_0_0_weight=filters(7, 3, 5, 5), features_0_2_weight=filters(7, 7, 3, 3))
    weights(
        tmp_path, "prediction", "p0", features_0_gates_weight=filters(8, 12, 3, 3), features_1_target_weight=filters(5, 6, 3, 3)
    )
    for key in ("mmgd", "ours"):
        weights(tmp_path, "student", key, features_0_weight=filters(6, 3, 5, 5))
    return tmp_path


@pytest.fixture
def make(make_trial_of_row: Make) -> Make:
    def trial(row: Any, seed: int, student: str, **changes: Any) -> Record:
        settings = {"data.pretraining": "ucf101", **changes.pop("settings", {})}
        values = {"stages": {**KEYS, "student": student}, "trial": f"{row.label} {seed} {student}", **changes}
        return make_trial_of_row(row, seed, {"ucf101": 50.0}, settings=settings, **values)

    return trial


def missing(found: FilterPanels) -> dict[str, str]:
    return {panel.heading: panel.missing for panel in found.panels if panel.image is None}


def test_panels_are_the_paper_s_and_show_each_network_s_own_weights(make: Make, store: Path) -> None:
    (found,) = conv1_filters(FIGURE, [make(MMGD, 0, "mmgd"), make(OURS, 0, "ours")], store)
    assert [panel.heading for panel in found.panels] == [
        "(a) Moving", "(b) Predicting", "(c) Sorting", "(d) Tracking", "(e) MMGD", "(f) Ours",
    ]  # fmt: skip
    kinds = ["ego_motion/e0", "prediction/p0", "sorting/s0", "tracking/t0", "student/mmgd", "student/ours"]
    for panel, kind in zip(found.panels, kinds, strict=True):
        assert panel.image is not None
        np.testing.assert_array_equal(panel.image, tiled(first_filters(store / kind / "weights.safetensors")))


def test_prednet_is_shown_by_what_it_answers_to_in_the_frame(tmp_path: Path) -> None:
    """Its first three inputs grow as the frame gets darker than predicted, the others as it gets brighter."""
    kernel = filters(5, 6, 3, 3)
    weights(tmp_path, "prediction", "p", features_1_target_weight=kernel)
    shown = first_filters(tmp_path / "prediction" / "p" / "weights.safetensors")
    assert shown.shape == (5, 3, 3, 3)
    for number in range(5):
        for channel in range(3):
            expected = kernel[number, channel + 3] - kernel[number, channel]
            np.testing.assert_allclose(shown[number, :, :, channel], expected, rtol=1e-6)


def test_every_filter_has_its_own_range_and_a_line_around_it() -> None:
    shown = np.zeros((3, 2, 2, 3))
    shown[0, 0, 0, 0], shown[1] = 5.0, 7.0
    shown[2, 1, 1, 2] = -1e-3
    image = tiled(shown)
    assert image.shape == (5, 5, 3)
    assert image[0, 0].tolist() == [1, 0, 0]
    assert image[:2, 3:].max() == 0
    assert image[4, 1].tolist() == [1, 1, 0]
    assert image[2].min() == image[:, 2].min() == image[3:, 3:].min() == 1


def test_of_several_seeds_the_first_that_both_students_have(make: Make, store: Path) -> None:
    trials = [make(OURS, 0, "gone"), make(OURS, 1, "ours"), make(MMGD, 1, "mmgd"), make(OURS, 2, "gone"), make(MMGD, 2, "gone")]
    (found,) = conv1_filters(FIGURE, trials, store)
    assert found.seed == 1
    assert missing(found) == {}


def test_a_group_with_both_students_is_shown_though_its_trials_are_on_other_sets_as_well(make: Make, store: Path) -> None:
    alone = make(OURS, 0, "gone")
    joined = [make(row, 0, "") for row in (MMGD, OURS)]
    for trial, key in zip(joined, ("mmgd", "ours"), strict=True):
        trial.settings["data.downstream"] = "ucf101+hmdb51"
        trial.stages |= {"student/ucf101": key, "student/hmdb51": "gone"}
    (found,) = conv1_filters(FIGURE, [alone, *joined], store)
    assert missing(found) == {}


def test_what_is_not_there_is_said_by_name(make: Make, store: Path) -> None:
    weights(store, "sorting", "other", features_9_weight=filters(2, 2))
    (store / "tracking" / "t0" / "weights.safetensors").write_bytes(b"torn")
    stages = {"sorting": "other", "tracking": "t0", "prediction": "p1", "student": "ours"}
    (found,) = conv1_filters(FIGURE, [make(OURS, 0, "", stages=stages, trial="t")], store)
    said = missing(found)
    assert said["(a) Moving"] == "trial t has no stage ego_motion"
    assert said["(b) Predicting"] == "prediction/p1/weights.safetensors is gone from the store"
    assert said["(c) Sorting"].startswith("sorting/other/weights.safetensors: no first convolution; it would be called")
    assert said["(d) Tracking"].startswith("tracking/t0/weights.safetensors: ")
    assert said["(e) MMGD"] == "no trial"
    assert draw_filters(FIGURE, [found], "png").startswith(b"\x89PNG")
