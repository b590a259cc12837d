"""A dataset as the rest of the program sees it: videos with labels and groups, in three parts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from json.encoder import encode_basestring_ascii
from pathlib import Path

from trainables.video.contents import content_hash

EXTENSIONS = (".avi", ".mp4", ".mkv", ".mov", ".webm", ".mpg")
PARTS = ("train", "validation", "test")
UNLABELLED = -1
"""The label of a test video that shows no class of its dataset: a negative of every class."""


class DataError(ValueError):
    """A dataset that cannot be used as it lies on disk: says what is wrong, where, and what is expected."""


def printable(name: str) -> str:
    """A name as it may be shown: what a terminal would obey or cannot show is escaped, as in `\\x1b`."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)


def without_extension(name: str) -> str:
    """A name or path without the ending of a video file; of a directory of frames it has none."""
    stem, dot, ending = name.rpartition(".")
    return stem if dot + ending.lower() in EXTENSIONS else name


@dataclass(frozen=True)
class Video:
    """One video of a dataset: a file, or a directory of images that are its frames.

    `name` is its posix path below the dataset's root and its identity. `label` is its class, or the first of several, and
    `others` are the further ones. `frames` is the number of frames that can be decoded and `decoder` the decoder that
    reads them exactly, `content` the hash of its bytes, and `shown` a digest of what they decode to (0 and "" until the
    inventory was taken).
    """

    name: str
    path: Path
    label: int
    group: str
    frames: int = 0
    decoder: str = ""
    others: tuple[int, ...] = ()
    content: str = ""
    shown: str = ""

    @property
    def labels(self) -> tuple[int, ...]:
        """All its labels, none if it is unlabelled."""
        return () if self.label == UNLABELLED else (self.label, *self.others)


@dataclass(frozen=True)
class Skipped:
    """A video that is on disk and not used, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class DataSource:
    """Where a dataset lies: what `--data NAME=DIR` and `--splits NAME=PATH` gave."""

    root: Path | None
    splits: Path | None


@dataclass(frozen=True)
class VideoSet:
    """The videos of a dataset in three parts. `missing` counts what the split lists name and the disk lacks, `fingerprints` are
    those that are known, by parts.

    Videos without labels (`labelled` False) have the one class "unlabelled".
    """

    dataset: str
    classes: tuple[str, ...]
    train: tuple[Video, ...]
    validation: tuple[Video, ...]
    test: tuple[Video, ...]
    missing: int = 0
    skipped: tuple[Skipped, ...] = ()
    labelled: bool = True
    notes: tuple[str, ...] = ()
    fingerprints: dict[tuple[str, ...], str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def part(self, name: str) -> tuple[Video, ...]:
        """The videos of "train", "validation" or "test"."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        if name not in parts:
            raise ValueError(f"unknown part {name!r}; valid: {', '.join(PARTS)}")
        return parts[name]

    def described(self, dataset: str | None = None, notes: tuple[str, ...] | None = None) -> VideoSet:
        """The same videos under another name or with other notes: what is known of their fingerprints holds of both."""
        other = replace(
            self, dataset=self.dataset if dataset is None else dataset, notes=self.notes if notes is None else notes
        )
        object.__setattr__(other, "fingerprints", self.fingerprints)
        return other

    def fingerprint(self, *parts: str) -> str:
        """16 hex digits that identify the content of `parts` (all three by default).

        Hashes the classes and, for each video, (part, name, content, label, further labels if any); no path, host or time
        goes in, so the same data has the same fingerprint wherever it lies. Computed once where an inventory was taken;
        reads the files of which none was. Raises DataError if one cannot be read.
        """
        named = tuple(sorted(set(parts or PARTS)))
        if named in self.fingerprints:
            return self.fingerprints[named]
        digest = hashlib.sha256(json.dumps(self.classes).encode())
        for part in named:
            for video in sorted(self.part(part), key=lambda video: video.name):
                digest.update(_described(part, video).encode())
        found = digest.hexdigest()[:16]
        if all(video.content for part in named for video in self.part(part)):
            self.fingerprints[named] = found
        return found


def join_videos(sets: Sequence[VideoSet]) -> VideoSet:
    """The union of several datasets, as "a+b": for pretraining on all of them.

    Classes, videos, groups and skipped videos are prefixed by `<dataset>/`, so that what has the same name in two of
    them stays apart; labels follow the order of `sets`, and so do the videos in each part. One set is returned as it
    is. Raises DataError for none, and for two sets of the same dataset.
    """
    names = [videos.dataset for videos in sets]
    if not sets or len(set(names)) < len(names):
        raise DataError(f"datasets to join: {', '.join(names) or 'none'}; expected different ones")
    if len(sets) == 1:
        return sets[0]
    parts: dict[str, list[Video]] = {part: [] for part in PARTS}
    classes: list[str] = []
    for videos in sets:
        for part in PARTS:
            parts[part] += [_in_union(video, videos.dataset, len(classes)) for video in videos.part(part)]
        classes += [f"{videos.dataset}/{name}" for name in videos.classes]
    return VideoSet(
        dataset="+".join(names),
        classes=tuple(classes),
        **{part: tuple(joined) for part, joined in parts.items()},
        missing=sum(videos.missing for videos in sets),
        skipped=tuple(replace(item, name=f"{videos.dataset}/{item.name}") for videos in sets for item in videos.skipped),
        labelled=all(videos.labelled for videos in sets),
        notes=tuple(f"{videos.dataset}: {note}" for videos in sets for note in videos.notes),
    )


def _described(part: str, video: Video) -> str:
    """What `json.dumps` makes of it, in a fifth of the time. Raises DataError."""
    labels = ", ".join(map(str, (video.label, *video.others)))
    return f'["{part}", {encode_basestring_ascii(video.name)}, "{video.content or _content_of(video)}", {labels}]'


def _content_of(video: Video) -> str:
    try:
        return content_hash(video.path)
    except OSError as error:
        raise DataError(f"{printable(video.name)} cannot be read: {error.strerror}") from None


def _in_union(video: Video, dataset: str, first_label: int) -> Video:
    """The video under the name, label and group that it has beside other datasets."""
    name, group = f"{dataset}/{video.name}", f"{dataset}/{video.group}"
    label = video.label if video.label == UNLABELLED else first_label + video.label
    return replace(video, name=name, group=group, label=label, others=tuple(first_label + other for other in video.others))
