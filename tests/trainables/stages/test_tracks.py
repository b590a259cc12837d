"""Tracks: videos in which nothing moves are counted, and mining goes on where it was interrupted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainables.pipeline import Result
from trainables.runtime import Runtime
from trainables.settings import ExperimentSettings, with_values
from trainables.stages import tracks
from trainables.stages import work as work_module
from trainables.stages.work import Work
from trainables.store import Artifact, Store
from trainables.tasks.tracks import unpack
from trainables.video.videos import Video

Make = Callable[..., Runtime]
RunStage = Callable[..., Artifact]
WorkOf = Callable[[str, ExperimentSettings, Runtime], Work]


def test_videos_in_which_nothing_moves_are_counted(
    tiny_graph: ExperimentSettings, runtime: Make, work_of: WorkOf, run_stage: RunStage
) -> None:
    """All of them, where more motion is asked for than there is; and those that are too short to track."""
    place = runtime()
    still = with_values(tiny_graph, {"tracking.least_motion": 9.0})
    metrics = run_stage("tracks", still, place).done["metrics"]
    assert metrics == {"tracks/tracks": 0, "tracks/videos_without_motion": 18}
    videos = work_of("tracks", tiny_graph, place).videos
    train = tuple(replace(video, frames=1) if number < 3 else video for number, video in enumerate(videos.train))
    videos = replace(videos, train=train)
    artifact = run_stage("tracks", tiny_graph, place, videos=videos)
    assert artifact.done["metrics"] == {"tracks/tracks": 15 * 2, "tracks/videos_without_motion": 3}
    found = unpack(artifact.tensors("tracks"), (*videos.train, *videos.validation))
    assert set(found) == {video.name for video in (*videos.train, *videos.validation) if video.frames > 1}
    assert {rows.shape for rows in found.values()} == {(2, 10)}


def test_mining_goes_on_where_it_was_interrupted(
    tiny_graph: ExperimentSettings, taught: tuple[Path, Result], runtime: Make, run_stage: RunStage
) -> None:
    """The tracks of videos that were done are kept; the others are mined, and all are the same to the bit."""
    place = runtime()
    lines: list[int] = []

    def stopping(line: dict[str, Any]) -> None:
        if line["epoch"] == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stage("tracks", tiny_graph, place, "one", report=stopping)
    resumed = run_stage("tracks", tiny_graph, place, "one", report=lambda line: lines.append(line["epoch"]))
    assert lines == list(range(8, 19))
    whole = Store(taught[0]).find("tracks", taught[1].stages["tracks"])
    assert whole is not None
    assert resumed.done["metrics"] == whole.done["metrics"]
    for name in ("tracks.safetensors", "settings.json"):
        assert (resumed.directory / name).read_bytes() == (whole.directory / name).read_bytes()


def test_mining_keeps_what_it_found_by_time_and_says_how_far_it_is(
    tiny_graph: ExperimentSettings, runtime: Make, run_stage: RunStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One part of the videos only, so that none of it ends before the last video: interrupted at the fifth, the others are
    kept, and after every one that was mined comes a report of how many."""
    monkeypatch.setattr(tracks, "REPORTS", 1)
    monkeypatch.setattr(work_module, "REPORT_SECONDS", 0)
    mine_video, mined, last = tracks.mine_video, [], 5

    def mining(video: Video, *others: Any) -> Any:
        if len(mined) == last:
            raise KeyboardInterrupt
        mined.append(video.name)
        return mine_video(video, *others)

    monkeypatch.setattr(tracks, "mine_video", mining)
    place, lines = runtime(save_every=0), []
    with pytest.raises(KeyboardInterrupt):
        run_stage("tracks", tiny_graph, place, "one", report=lines.append)
    assert lines == [{"stage": "tracks", "batch": number, "batches": 18} for number in range(1, 6)]
    last = 100
    run_stage("tracks", tiny_graph, place, "one")
    assert len(mined) == len(set(mined)) == 18
