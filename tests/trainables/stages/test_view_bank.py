"""The bank of views: what teachers say of it against a forward pass of our own, and that the student sees the same clips."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.data import open_data
from trainables.models import make_encoder
from trainables.pipeline import Experiment, Result, run_experiment
from trainables.runtime import Runtime
from trainables.settings import TEACHER_TASKS, ExperimentSettings, with_values
from trainables.stages import view_bank
from trainables.stages.pictures import SAMPLES
from trainables.stages.supervised import training_clips
from trainables.stages.view_bank import BANK
from trainables.stages.work import Work
from trainables.store import Artifact, Store
from trainables.tasks import find_task
from trainables.video.cache import FrameCache
from trainables.video.dataset import ClipDataset, network_clips
from trainables.video.videos import DataError

Make = Callable[..., Runtime]
WorkOf = Callable[[str, ExperimentSettings, Runtime], Work]
MEAN, DEVIATION = torch.tensor([0.43216, 0.394666, 0.37645]), torch.tensor([0.22803, 0.22145, 0.216989])


def answers(taught: tuple[Path, Result], task: str) -> Artifact:
    store, result = taught
    artifact = Store(store).find(f"{task}_views", result.stages[f"{task}_views"])
    assert artifact is not None
    return artifact


@pytest.mark.parametrize("task", TEACHER_TASKS)
def test_the_bank_holds_what_the_finetuned_teacher_says_of_each_view(
    tiny_graph: ExperimentSettings, taught: tuple[Path, Result], after_teachers: Make, work_of: WorkOf, task: str
) -> None:
    """One clip at a time, in evaluation mode: the map of the layer that is imitated, features and logits, by (view, video)."""
    bank = answers(taught, task).tensors("train")
    layer, shape = (2, (6, 4, 4)) if task == "prediction" else (3, (6, 3, 3))
    assert bank["logits"].shape == (2, 12, 6)
    assert bank["maps"].shape == (2, 12, *shape)
    assert bank["features"].shape == (2, 12, 6 if task == "prediction" else 8)
    assert bank["prototypes"].shape == (6, bank["features"].shape[2])
    work = work_of(f"{task}_views", tiny_graph, after_teachers())
    teacher = make_encoder(find_task(task).encoder, tiny_graph, 6).eval()
    teacher.load_state_dict(work.inputs[task].tensors())
    clips = training_clips(work, BANK)
    for view, video in ((0, 0), (0, 7), (1, 0), (1, 11)):
        batch = torch.utils.data.default_collate([clips[view, video]])
        with torch.no_grad():
            pixels = network_clips(batch, teacher.seen(tiny_graph.video), work.device)[:, 0]
            expected = teacher.outputs(pixels, layer)
        for name, value in zip(("logits", "maps", "features"), expected, strict=True):
            torch.testing.assert_close(bank[name][view, video], value[0], atol=1e-5, rtol=1e-5)
    *_, weight, _ = teacher.state_dict().values()
    assert torch.equal(bank["prototypes"], weight), "rows of the last layer"
    assert not torch.allclose(bank["maps"][0], bank["maps"][1]), "views differ"
    assert not torch.allclose(bank["maps"][0, 0], bank["maps"][0, 1]), "videos differ"


@pytest.mark.parametrize("task", ["ego_motion", "prediction"])
def test_videos_are_answered_for_by_clips_spread_evenly_over_them(
    tiny_graph: ExperimentSettings, taught: tuple[Path, Result], clips: Path, task: str
) -> None:
    """Two clips of 8 frames at 0 and 12 of 20, the centre 12 x 12 of 16 x 16, nothing random. VGG sees the fifth frame of each,
    normalised, PredNet all of it in [0, 1]; metrics are those of the mean softmax."""
    artifact = answers(taught, task)
    teacher = make_encoder(find_task(task).encoder, tiny_graph, 6).eval()
    classifier = Store(taught[0]).find(f"{task}_classifier", taught[1].stages[f"{task}_classifier"])
    assert classifier is not None
    teacher.load_state_dict(classifier.tensors())
    videos = open_data(tiny_graph.data, Runtime(taught[0], clips))["downstream"]
    for part in ("validation", "test"):
        found = artifact.tensors(part)
        assert set(found) == {"logits", "features"}
        for number, video in enumerate(videos.part(part)):
            for clip, start in enumerate((0, 12)):
                frames = FrameCache(None, 0).read(video, range(start, start + 8), (16, 16)).pixels
                pixels = torch.from_numpy(frames[:, 2:14, 2:14].copy()).float() / 255
                shown = pixels if task == "prediction" else ((pixels - MEAN) / DEVIATION)[4:5]
                with torch.no_grad():
                    expected = teacher.outputs(shown.permute(3, 0, 1, 2)[None], 1)
                torch.testing.assert_close(found["logits"][number, clip], expected.logits[0], atol=1e-4, rtol=1e-4)
                torch.testing.assert_close(found["features"][number, clip], expected.features[0], atol=1e-4, rtol=1e-4)
        hits = found["logits"].softmax(-1).mean(1).argmax(1) == torch.tensor([video.label for video in videos.part(part)])
        assert taught[1].metrics[f"{part}/{task}_top1"] == pytest.approx(float(hits.float().mean()))


def test_the_student_sees_the_clips_that_teachers_were_asked_about(
    tiny_graph: ExperimentSettings, after_teachers: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pixels, mirroring and colours of each view of each video, drawn by a teacher's stage and then by the student's; with two
    views the student's third epoch shows the first one again. Another seed has other views."""
    drawn: dict[tuple[int, int], list[dict[str, Any]]] = {}
    draw = ClipDataset.__getitem__

    def noting(dataset: ClipDataset, item: tuple[int, int]) -> dict[str, Any]:
        sample = draw(dataset, item)
        if dataset.stream == BANK:
            drawn.setdefault(item, []).append(sample)
        return sample

    settings = with_values(tiny_graph, {"views.vgg_layer": 2, "teachers.tasks": "sorting", "graph.representation": "single"})
    place = after_teachers()
    monkeypatch.setattr(ClipDataset, "__getitem__", noting)
    run_experiment(Experiment(with_values(settings, {"recipe": "fusion"}), 0), place, lambda line: None)
    every = {(view, video) for view in (0, 1) for video in range(12)}
    assert {item: len(samples) for item, samples in drawn.items()} == dict.fromkeys(every, 1)
    run_experiment(Experiment(settings, 0), place, lambda line: None)
    assert drawn.keys() == every
    assert sum(len(samples) - 1 for samples in drawn.values()) == 3 * 10 + SAMPLES, (
        "three epochs of two whole batches of 5; and for pictures"
    )
    assert max(len(drawn[0, video]) for video in range(12)) == 4
    for first, *others in drawn.values():
        for other in others:
            for name in ("pixels", "flip", "jitter", "target"):
                assert torch.equal(torch.as_tensor(first[name]), torch.as_tensor(other[name])), name
    assert not torch.equal(drawn[0, 0][0]["pixels"], drawn[1, 0][0]["pixels"])


def test_views_differ_between_seeds(tiny_graph: ExperimentSettings, after_teachers: Make, work_of: WorkOf) -> None:
    work = work_of("sorting_views", tiny_graph, after_teachers())
    one, other = (training_clips(replace(work, seed=seed), BANK)[0, 0]["pixels"] for seed in (0, 1))
    assert not torch.equal(one, other)


def test_loader_processes_change_nothing_in_the_bank(
    tiny_graph: ExperimentSettings, taught: tuple[Path, Result], after_teachers: Make, run_stage: Callable[..., Artifact]
) -> None:
    artifact = run_stage("sorting_views", tiny_graph, after_teachers(workers=2))
    for name in ("train", "validation", "test"):
        file = f"{name}.safetensors"
        assert (artifact.directory / file).read_bytes() == (answers(taught, "sorting").directory / file).read_bytes()


def test_maps_can_be_stored_in_half_the_space(
    tiny_graph: ExperimentSettings, taught: tuple[Path, Result], after_teachers: Make
) -> None:
    """The student then learns from rounded maps; logits and features stay as they are."""
    settings = with_values(tiny_graph, {"views.stored": "float16", "teachers.tasks": "sorting+ego_motion"})
    place = after_teachers()
    result = run_experiment(Experiment(settings, 0), place, lambda line: None)
    artifact = Store(place.store).find("sorting_views", result.stages["sorting_views"])
    assert artifact is not None
    half, whole = artifact.tensors("train"), answers(taught, "sorting").tensors("train")
    assert {name: value.dtype for name, value in half.items()} == {
        "logits": torch.float32,
        "features": torch.float32,
        "maps": torch.float16,
        "prototypes": torch.float32,
    }
    assert torch.equal(half["maps"], whole["maps"].half())
    assert torch.equal(half["logits"], whole["logits"])
    assert json.loads((artifact.directory / "settings.json").read_text())["views.stored"] == "float16"
    assert result.metrics["student/representation_loss"] > 0


def test_maps_that_do_not_fit_into_half_the_space_are_refused(
    tiny_graph: ExperimentSettings, after_teachers: Make, work_of: WorkOf
) -> None:
    """Instead of infinities that the student would learn from."""
    work = work_of("sorting_views", with_values(tiny_graph, {"views.stored": "float16"}), after_teachers())
    assert torch.equal(view_bank.stored(work, torch.tensor([6e4, -0.1])), torch.tensor([6e4, -0.1]).half())
    with pytest.raises(DataError, match=r"sorting_views: maps of up to 7e\+04 do not fit into float16; set views\.stored"):
        view_bank.stored(work, torch.tensor([0.1, -7e4]))


def test_larger_maps_are_averaged_before_they_are_kept(tiny_graph: ExperimentSettings) -> None:
    """Parts of equal size by hand; what is no larger stays as it is, to the bit. A plan counts the bytes of what is kept."""
    maps = torch.rand(2, 3, 6, 4)
    assert torch.equal(view_bank.at_most(maps, None), maps)
    assert torch.equal(view_bank.at_most(maps, 6), maps)
    torch.testing.assert_close(view_bank.at_most(maps, 2), maps.reshape(2, 3, 2, 3, 2, 2).mean((3, 5)))
    torch.testing.assert_close(
        view_bank.at_most(maps, 4)[:, :, :, 0],
        torch.stack([maps[:, :, rows, 0].mean(2) for rows in (slice(0, 2), slice(1, 3), slice(3, 5), slice(4, 6))], 2),
    )
    bytes_of = {side: view_bank._view_bytes("vgg", 1, with_values(tiny_graph, {"views.side": side})) for side in (None, 12, 6)}
    assert bytes_of[None] == bytes_of[12]
    assert bytes_of[12] - bytes_of[6] == 4 * 4 * (12**2 - 6**2)
