"""Tracked patches of unlabelled videos, for training and validation: what the tracking teacher learns from."""

from __future__ import annotations

import time

import numpy as np

from trainables.stages.work import Work
from trainables.store import Artifact
from trainables.teachers.tracks import mine_video, pack, unpack

REPORTS = 20
"""How often progress is shown and kept."""


def run(work: Work) -> Artifact:
    started = time.monotonic()
    videos = (*work.videos.train, *work.videos.validation)
    tracks: dict[str, np.ndarray] = {}
    done, before = 0, 0.0
    if (state := work.workplace.load_state()) is not None:
        tracks, done, before = unpack(state["tracks"], videos), state["done"], state["seconds"]
    parts = min(REPORTS, len(videos))
    for number, video in enumerate(videos[done:], start=done + 1):
        found = mine_video(video, work.cache, work.settings.video, work.settings.tracking)
        if len(found):
            tracks[video.name] = found
        part = number * parts // len(videos)
        if part > (number - 1) * parts // len(videos):
            spent = before + time.monotonic() - started
            work.workplace.save_state({"tracks": pack(tracks, videos), "done": number, "seconds": spent})
            work.report({"stage": work.kind, "epoch": part, "epochs": parts, "tracks/videos": float(number)})
    return work.workplace.publish(
        settings=work.settings.model_dump(),
        metrics={
            "tracks/tracks": float(sum(map(len, tracks.values()))),
            "tracks/videos_without_motion": float(len(videos) - len(tracks)),
        },
        seconds=before + time.monotonic() - started,
        history=[],
        tensors={"tracks": pack(tracks, videos)},
    )
