"""Tracked patches of unlabelled videos, for training and validation: what the tracking teacher learns from."""

from __future__ import annotations

import numpy as np

from trainables.settings import ExperimentSettings
from trainables.stages.kind import LABELLED, Cost, Counts, Kind
from trainables.stages.work import Outcome, Pace, Work
from trainables.tasks.tracks import mine_video, pack, unpack

REPORTS = 20
"""How often progress is shown and kept."""

FLOW_SECONDS = 5e-7
"""Of optical flow, per pixel of a frame on one core."""


def run(work: Work) -> Outcome:
    """Goes on from the last video whose tracks an interrupted run kept."""
    videos = (*work.videos.train, *work.videos.validation)
    tracks: dict[str, np.ndarray] = {}
    done = 0
    if work.workplace is not None and (state := work.workplace.load_state()) is not None:
        tracks, done = unpack(state["tracks"], videos), state["done"]
    parts, saves = min(REPORTS, len(videos)), Pace(work.runtime.save_every)
    for number, video in enumerate(videos[done:], start=done + 1):
        mined = mine_video(video, work.cache, work.settings.video, work.settings.tracking)
        if len(mined):
            tracks[video.name] = mined
        part = number * parts // len(videos)
        ended = part > (number - 1) * parts // len(videos)
        if work.workplace is not None and (ended or saves.is_due()):
            work.workplace.save_state({"tracks": pack(tracks, videos), "done": number})
        if ended:
            work.report({"stage": work.kind, "epoch": part, "epochs": parts, "tracks/videos": float(number)})
        work.reached(number, len(videos))
    metrics = {
        "tracks/tracks": float(sum(map(len, tracks.values()))),
        "tracks/videos_without_motion": float(len(videos) - len(tracks)),
    }
    return Outcome(metrics, tensors={"tracks": pack(tracks, videos)})


def _reads(settings: ExperimentSettings) -> tuple[str, ...]:
    fields = ("frames", "patch", "tracks_per_video", "least_motion")
    return (
        "video.height",
        "video.width",
        "data.decoder",
        "data.verify",
        "data.cache_format",
        *(f"tracking.{name}" for name in fields),
    )


def _cost(settings: ExperimentSettings, videos: Counts) -> Cost:
    video, tracking = settings.video, settings.tracking
    fields = (videos.train + videos.validation) * tracking.tracks_per_video * (tracking.frames - 1)
    return Cost(seconds=fields * video.height * video.width * FLOW_SECONDS)


KIND = Kind("tracks", 1, run, _reads, LABELLED, _cost, random=False, where=__name__)
