"""Where experiments run: travels to other processes as plain data, and what it opens."""

from __future__ import annotations

import ctypes
import itertools
import json
import resource
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trainables.data import describe, downstream_roles, open_data
from trainables.runtime import Runtime
from trainables.settings import DataSettings, ExperimentSettings, with_values
from trainables.video.videos import PARTS, DataError, DataSource, VideoSet

ROOT = Path(__file__).resolve().parents[2]


def test_a_runtime_travels_as_json() -> None:
    sources = (("folder", DataSource(Path("/data"), Path("/data/list.csv"))), ("ucf101", DataSource(Path("/ucf"), None)))
    stand_ins = (("hmdb51", "embedded"), ("kinetics100", "ucf101+folder"))
    weights = (("alexnet", Path("/weights/alexnet.pth")),)
    runtime = Runtime(Path("/store"), Path("/cache"), sources, stand_ins, weights, 123, "cpu", 3, 4.5)
    assert Runtime.from_config(json.loads(json.dumps(runtime.as_config()))) == runtime


def test_embedded_data_has_the_parts_asked_for(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    data = open_data(tiny.data, runtime())
    assert data["pretraining"] == data["downstream"]
    described = describe(data["downstream"])
    assert [described[name] for name in ("classes", "train", "validation", "test", "missing")] == [6, 12, 6, 6, 0]
    assert described["skipped"] == {}
    assert all(video.frames == 20 for video in data["downstream"].train)
    assert "/" not in json.dumps({**described, "skipped": {}}), "no path"


def test_unknown_and_absent_data_sets_are_explained(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    with pytest.raises(DataError, match=r"unknown dataset 'ucf1O1'; did you mean 'ucf101'\?; valid: .*ucf101"):
        open_data(with_values(tiny, {"data.pretraining": "ucf1O1"}).data, runtime())
    with pytest.raises(DataError, match="--data ucf101=DIR"):
        open_data(with_values(tiny, {"data.downstream": "ucf101"}).data, runtime())


NAMES = ("ccv", "hmdb51", "kinetics100", "kinetics400", "ucf101")
Content = tuple[str, bytes]


def opened(tiny: ExperimentSettings, place: Runtime, name: str) -> VideoSet:
    return open_data(with_values(tiny, {"data.pretraining": name}).data, place)["pretraining"]


def of_part(videos: VideoSet, part: str) -> set[Content]:
    return {(video.path.name, video.path.read_bytes()) for video in videos.part(part)}


def test_stand_ins_are_embedded_clips_of_their_own(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    """Kinetics-100 is part of Kinetics-400, all others have no video in common; and what stands in says that it does."""
    place = runtime(stand_ins=tuple((name, "embedded") for name in NAMES))
    sets = {name: opened(tiny, place, name) for name in (*NAMES, "embedded")}
    assert [(len(sets[name].classes), len(sets[name].train)) for name in NAMES] == [
        (6, 12),
        (6, 6),
        (6, 12),
        (10, 20),
        (6, 12),
    ]
    assert {describe(videos)["dataset"] for videos in sets.values()} == {"embedded"}
    for part in PARTS:
        assert of_part(sets["kinetics100"], part) < of_part(sets["kinetics400"], part)
        for one, other in itertools.combinations(sets, 2):
            if {one, other} != {"kinetics100", "kinetics400"}:
                pixels = [{content for _, content in of_part(sets[name], part)} for name in (one, other)]
                assert not pixels[0] & pixels[1], (one, other)
    assert len({videos.fingerprint() for videos in sets.values()}) == 6


def test_nothing_stands_in_unasked(tiny: ExperimentSettings, runtime: Callable[..., Runtime]) -> None:
    with pytest.raises(DataError, match="--data kinetics100=DIR"):
        opened(tiny, runtime(stand_ins=(("ucf101", "embedded"),)), "kinetics100")


def test_another_set_stands_in(tiny: ExperimentSettings, runtime: Callable[..., Runtime], tmp_path: Path) -> None:
    """A folder in the place of Kinetics-100, alone and with the embedded clips; the data it holds is said in either case."""
    source = opened(tiny, runtime(), "embedded")
    for video in source.train:
        (tmp_path / "videos" / source.classes[video.label]).mkdir(parents=True, exist_ok=True)
        shutil.copy(video.path, tmp_path / "videos" / source.classes[video.label])
    sources = (("folder", DataSource(tmp_path / "videos", None)),)
    alone = opened(tiny, runtime(sources=sources, stand_ins=(("kinetics100", "folder"),)), "kinetics100")
    assert alone.dataset == "folder"
    assert sum(len(alone.part(part)) for part in PARTS) == 12
    both = opened(tiny, runtime(sources=sources, stand_ins=(("kinetics100", "folder+embedded"),)), "kinetics100")
    assert both.dataset == "folder+embedded"
    assert len(both.train) == len(alone.train) + len(source.train)


def test_weights_are_known_by_their_content(tmp_path: Path) -> None:
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    found = [Runtime(tmp_path, tmp_path, weights=(("alexnet", tmp_path / name),)).weights_fingerprints() for name in "abc"]
    assert [list(one) for one in found] == [["alexnet"]] * 3
    assert found[0] == found[1] != found[2]
    assert Runtime(tmp_path, tmp_path).weights_fingerprints() == {}


def test_a_smaller_share_of_the_pretraining_videos_is_part_of_a_larger_one(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime]
) -> None:
    """Of 12 training videos; in the order of the whole set, which the other parts and downstream data keep."""
    whole = open_data(tiny.data, runtime())
    parts = {}
    for share, count in ((0.01, 2), (0.25, 3), (0.5, 6), (0.75, 9), (1.0, 12)):
        data = open_data(with_values(tiny, {"data.pretraining_share": share}).data, runtime())
        assert data["downstream"] == whole["downstream"]
        assert replace(data["pretraining"], train=whole["pretraining"].train) == whole["pretraining"]
        parts[share] = [video.name for video in data["pretraining"].train]
        assert len(parts[share]) == count
    names = [video.name for video in whole["pretraining"].train]
    for smaller, larger in itertools.pairwise(parts.values()):
        assert set(smaller) < set(larger)
        assert sorted(smaller, key=names.index) == smaller


def test_a_share_of_the_labels_is_of_every_class_and_part_of_a_larger_one(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime]
) -> None:
    """Of six classes of ten videos; at least one of each, which a note says where it is more than was asked for."""
    tiny = with_values(tiny, {"data.embedded.train": 10})
    whole = open_data(tiny.data, runtime())

    def labels(share: float, draw: int = 0) -> VideoSet:
        changes = {"data.labelled_share": share, "data.labelled_draw": draw}
        data = open_data(with_values(tiny, changes).data, runtime())
        assert data["pretraining"] == whole["pretraining"]
        found = data["downstream"]
        assert replace(found, train=whole["downstream"].train, notes=whole["downstream"].notes) == whole["downstream"]
        return found

    parts = {share: labels(share) for share in (0.01, 0.1, 0.35, 1.0)}
    counts = {share: Counter(video.label for video in part.train) for share, part in parts.items()}
    assert [set(of.values()) for of in counts.values()] == [{1}, {1}, {4}, {10}]
    assert all(len(of) == 6 for of in counts.values())
    assert any("less than a training video of 6 of 6 classes" in note for note in parts[0.01].notes)
    assert not any("less than" in note for note in parts[0.35].notes)
    names = [video.name for video in whole["downstream"].train]
    for smaller, larger in itertools.pairwise(parts.values()):
        of_smaller, of_larger = ([video.name for video in part.train] for part in (smaller, larger))
        assert set(of_smaller) <= set(of_larger)
        assert sorted(of_smaller, key=names.index) == of_smaller
    other = labels(0.35, draw=1)
    assert {video.name for video in other.train} != {video.name for video in parts[0.35].train}
    assert other.fingerprint("train") != parts[0.35].fingerprint("train") != whole["downstream"].fingerprint("train")


def test_a_domain_of_pretraining_changes_what_is_learned_from_without_labels_only(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime], tmp_path: Path
) -> None:
    whole = open_data(tiny.data, runtime())
    gap = open_data(with_values(tiny, {"data.pretraining_domain": "pace"}).data, runtime())
    assert gap["downstream"] == whole["downstream"]
    assert gap["pretraining"].fingerprint("train") != whole["pretraining"].fingerprint("train")
    for name in ("a", "b"):
        for number, video in enumerate(whole["downstream"].train[:4]):
            (tmp_path / "real" / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(video.path, tmp_path / "real" / name / f"{name}{number}.mp4")
    place = runtime(sources=(("folder", DataSource(tmp_path / "real", None)),))
    settings = with_values(tiny, {"data.pretraining": "folder", "data.pretraining_domain": "pace"})
    with pytest.raises(DataError, match="pretraining_domain = pace is of embedded clips, and folder has none; valid: null"):
        open_data(settings.data, place)


def test_downstream_roles() -> None:
    assert downstream_roles(DataSettings(downstream="ucf101")) == ("downstream",)
    assert downstream_roles(DataSettings(downstream="ucf101+hmdb51")) == ("downstream/ucf101", "downstream/hmdb51")


def test_downstream_sets_need_labels(tiny: ExperimentSettings, runtime: Callable[..., Runtime], tmp_path: Path) -> None:
    """A folder of videos without class folders serves for pretraining only."""
    (tmp_path / "videos").mkdir()
    for number, video in enumerate(opened(tiny, runtime(), "embedded").train):
        shutil.copy(video.path, tmp_path / "videos" / f"{number}.mp4")
    place = runtime(sources=(("folder", DataSource(tmp_path / "videos", None)),))
    assert not opened(tiny, place, "folder").labelled
    with pytest.raises(DataError, match=r"data\.downstream = folder: its videos have no labels"):
        open_data(with_values(tiny, {"data.downstream": "folder"}).data, place)


def folder_of(place: Path, videos: list[Path], rows: list[tuple[str, str]]) -> DataSource:
    """A folder with a csv of (label, part), a video for each row."""
    place.mkdir()
    for number, (video, _) in enumerate(zip(videos, rows, strict=False)):
        shutil.copy(video, place / f"{number}.mp4")
    table = "".join(f"{number}.mp4,{label},{part}\n" for number, (label, part) in enumerate(rows))
    (place / "table.csv").write_text("path,label,split\n" + table)
    return DataSource(place, place / "table.csv")


def test_a_downstream_set_of_one_class_is_refused(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime], tmp_path: Path
) -> None:
    """All videos in one class folder, as Something-Something v2 unpacks, would be recognised with 100 % whatever is learnt."""
    (tmp_path / "videos" / "20bn-something-something-v2").mkdir(parents=True)
    for number, video in enumerate(opened(tiny, runtime(), "embedded").train):
        shutil.copy(video.path, tmp_path / "videos" / "20bn-something-something-v2" / f"{number}.mp4")
    place = runtime(sources=(("folder", DataSource(tmp_path / "videos", None)),))
    with pytest.raises(DataError, match=r"all its videos have one class, '20bn-something-something-v2', so every"):
        open_data(with_values(tiny, {"data.downstream": "folder"}).data, place)
    assert opened(tiny, place, "folder").classes == ("20bn-something-something-v2",)


def test_classes_with_few_videos_are_counted_in_a_note_and_a_part_without_any_is_refused(
    tiny: ExperimentSettings, runtime: Callable[..., Runtime], tmp_path: Path
) -> None:
    clips = [video.path for video in opened(tiny, runtime(), "embedded").train]
    rows = [("a", "train"), ("a", "train"), ("b", "train"), ("a", "val"), ("b", "val"), ("b", "test")]
    settings = with_values(tiny, {"data.downstream": "folder"})
    few = open_data(settings.data, runtime(sources=(("folder", folder_of(tmp_path / "few", clips, rows)),)))["downstream"]
    assert few.notes == (
        "1 of 2 classes have fewer than 2 training videos that can be used: b",
        "1 of 2 classes have no test video that can be used: a",
    )
    for part in ("val", "test"):
        without = folder_of(tmp_path / part, clips, [row for row in rows if row[1] != part])
        settings_without = with_values(settings, {"data.validation_fraction": 0.01})
        if part == "test":
            with pytest.raises(DataError, match=r"data\.downstream = folder: no labelled test videos that can be used"):
                open_data(settings_without.data, runtime(sources=(("folder", without),)))
        else:
            notes = open_data(settings_without.data, runtime(sources=(("folder", without),)))["downstream"].notes
            assert notes[0].startswith("far from what was asked for, as groups stay whole: validation: 1% asked for")
            assert "1 of 2 classes have no validation video that can be used: b" in notes


def test_a_cpu_runs_one_thread(runtime: Callable[..., Runtime]) -> None:
    assert runtime().torch_device() == torch.device("cpu")
    assert torch.get_num_threads() == 1


FREES = """
import resource, sys, torch
from pathlib import Path
from trainables.runtime import Runtime
Runtime(Path(), Path(), device="cpu").torch_device()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(10_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="a C library other than glibc")
def test_memory_is_used_again_without_the_system() -> None:
    """Tensors of 40 MB, more than glibc keeps by itself, made and freed 20 times: pages of a few are enough for all. In a
    process of its own, in which nothing else takes from what was freed."""
    ran = subprocess.run([sys.executable, "-c", FREES], capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(ran.stdout) < 5 * 40_000_000 / resource.getpagesize()
