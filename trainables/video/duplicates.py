"""Videos whose bytes are also in another part of their data set, by copy, hard link or link: results on them are no test."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from trainables.video.videos import PARTS, VideoSet

_SHOWN = 5


@dataclass(frozen=True)
class Duplicates:
    """counts: (part, later part) -> videos of the later one whose content is in the other, of those parts that share any.
    names: a few of them, as (its name in the earlier part, its name in the later one)."""

    counts: dict[tuple[str, str], int]
    names: tuple[tuple[str, str], ...]


def duplicates(videos: VideoSet) -> Duplicates:
    """The videos of a set, of which an inventory was taken, that have the content of a video of another part."""
    counts: dict[tuple[str, str], int] = {}
    names: list[tuple[str, str]] = []
    for one, other in itertools.combinations(PARTS, 2):
        known = {video.content: video.name for video in videos.part(one) if video.content}
        shared = [(known[video.content], video.name) for video in videos.part(other) if video.content in known]
        if shared:
            counts[one, other] = len(shared)
            names += shared
    return Duplicates(counts, tuple(names[:_SHOWN]))


def said_of_duplicates(videos: VideoSet) -> list[str]:
    """What a user should know of them, a line per pair of parts."""
    found = duplicates(videos)
    return [
        f"{count} of {len(videos.part(other))} {other} videos are also in {one}, byte for byte"
        for (one, other), count in found.counts.items()
    ]
