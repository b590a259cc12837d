"""Tracked patches of unlabelled videos, for training and validation: what the tracking teacher learns from."""

from __future__ import annotations

import time

from trainables.stages.work import Work
from trainables.store import Artifact
from trainables.teachers.tracks import mine_video, pack

REPORTS = 20


def run(work: Work) -> Artifact:
    started = time.monotonic()
    videos = (*work.videos.train, *work.videos.validation)
    tracks = {}
    for number, video in enumerate(videos, start=1):
        found = mine_video(video, work.cache, work.settings.video, work.settings.tracking)
        if len(found):
            tracks[video.name] = found
        part, parts = number * REPORTS // len(videos), min(REPORTS, len(videos))
        if part > (number - 1) * REPORTS // len(videos):
            work.report({"stage": work.kind, "epoch": min(part, parts), "epochs": parts, "tracks/videos": float(number)})
    return work.workplace.publish(
        settings=work.settings.model_dump(),
        metrics={
            "tracks/tracks": float(sum(map(len, tracks.values()))),
            "tracks/videos_without_motion": float(len(videos) - len(tracks)),
        },
        seconds=time.monotonic() - started,
        history=[],
        tensors={"tracks": pack(tracks, videos)},
    )
