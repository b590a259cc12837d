"""Videos that are also in another part of their data set: results on them are no test.

The same are those of the same bytes, by copy, hard link or link, and those that decode to the same frames, as a file does that
was put into another container. What was encoded once more decodes to other frames.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from trainables.video.videos import PARTS, VideoSet

_SHOWN = 5


@dataclass(frozen=True)
class Duplicates:
    """counts: (part, later part) -> videos of the later one that are in the other, of those parts that share any; of these, by
    `bytes`, those of the same bytes.
    names: a few of them, as (its name in the earlier part, its name in the later one)."""

    counts: dict[tuple[str, str], int]
    bytes: dict[tuple[str, str], int]
    names: tuple[tuple[str, str], ...]


def duplicates(videos: VideoSet) -> Duplicates:
    """The videos of a set, of which an inventory was taken, that are also in another part."""
    counts: dict[tuple[str, str], int] = {}
    of_bytes: dict[tuple[str, str], int] = {}
    names: list[tuple[str, str]] = []
    for one, other in itertools.combinations(PARTS, 2):
        contents = {video.content: video for video in videos.part(one) if video.content}
        frames = {video.shown: video for video in videos.part(one) if video.shown}
        pairs = [(contents.get(video.content) or frames.get(video.shown), video) for video in videos.part(other)]
        shared = [(first, video) for first, video in pairs if first]
        if shared:
            counts[one, other] = len(shared)
            of_bytes[one, other] = sum(first.content == video.content for first, video in shared)
            names += [(first.name, video.name) for first, video in shared]
    return Duplicates(counts, of_bytes, tuple(names[:_SHOWN]))


def said_of_duplicates(videos: VideoSet) -> list[str]:
    """What a user should know of them, a line per pair of parts."""
    found = duplicates(videos)
    lines = []
    for (one, other), count in found.counts.items():
        copied = found.bytes[one, other]
        how = [f"{copied} byte for byte"] if copied else []
        how += [f"{count - copied} in other bytes that decode to the same frames"] if count > copied else []
        lines.append(f"{count} of {len(videos.part(other))} {other} videos are also in {one}, {' and '.join(how)}")
    return lines
