"""The video sets of an experiment by role: opened, joined, stood in for, and shared between the rows of a sweep."""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainables.files import digest
from trainables.runtime import Runtime
from trainables.settings import LAYOUTS, DataSettings, EmbeddedSettings
from trainables.video.decoding import Verify
from trainables.video.duplicates import duplicates
from trainables.video.embedded import embedded_videos
from trainables.video.handed_on import OPEN_SETS
from trainables.video.inventory import check_classes, take_inventory
from trainables.video.layouts import find_layout, read_videos
from trainables.video.videos import DataError, DataSource, Video, VideoSet, join_videos, printable


def downstream_roles(data: DataSettings) -> tuple[str, ...]:
    """`downstream` for a single downstream set, else `downstream/<set>` for each."""
    names = data.downstream_sets
    return ("downstream",) if len(names) == 1 else tuple(f"downstream/{name}" for name in names)


def open_data(data: DataSettings, runtime: Runtime) -> dict[str, VideoSet]:
    """The video sets by role, frame counts known and unreadable files left out: `pretraining` (several sets joined), and
    `downstream`, or `downstream/<set>` where there are several. Those of the same settings are the same objects.

    Raises DataError.
    """
    return dict(_by_role(data, runtime.cache, runtime.sources, runtime.stand_ins))


@functools.lru_cache(maxsize=32)
def _by_role(
    data: DataSettings, cache: Path, sources: tuple[tuple[str, DataSource], ...], stand_ins: tuple[tuple[str, str], ...]
) -> dict[str, VideoSet]:
    """`open_data`."""

    def opened(dataset: str, embedded: EmbeddedSettings = data.embedded) -> VideoSet:
        how = (data.split, data.validation_fraction, embedded, data.decoder, data.verify)
        return _open(dataset, *how, cache, sources, stand_ins)

    domain = data.pretraining_domain
    unlabelled = data.embedded if domain is None else data.embedded.model_copy(update={"domain": domain})

    def beside_others(dataset: str) -> VideoSet:
        videos = opened(dataset, unlabelled)
        return videos if videos.dataset == dataset else videos.described(dataset=f"{videos.dataset} for {dataset}")

    names = data.pretraining_sets
    joined = opened(names[0], unlabelled) if len(names) == 1 else join_videos([beside_others(name) for name in names])
    if domain is not None and "embedded" not in joined.dataset:
        raise DataError(f"data.pretraining_domain = {domain} is of embedded clips, and {joined.dataset} has none; valid: null")
    sets = {"pretraining": share_of(joined, data.pretraining_share)}
    for role, name in zip(downstream_roles(data), data.downstream_sets, strict=True):
        labelled = labelled_share_of(opened(name), data.labelled_share, data.labelled_draw)
        sets[role] = _fit_for_results(labelled, name)
    return sets


def _fit_for_results(videos: VideoSet, name: str) -> VideoSet:
    """The set, with notes on classes that have few videos. Raises DataError for one that no result can come from."""
    check_classes(videos)
    if not videos.labelled:
        raise DataError(f"data.downstream = {name}: its videos have no labels, so it serves for pretraining only")
    if len(videos.classes) == 1:
        raise DataError(
            f"data.downstream = {name}: all its videos have one class, {videos.classes[0]!r}, so every result would be 100 %; "
            "expected a layout that says the classes: a sub-folder for each, or lists (--splits)"
        )
    for part in ("validation", "test"):
        if not any(video.labels for video in videos.part(part)):
            raise DataError(f"data.downstream = {name}: no labelled {part} videos that can be used; results come from them")
    return videos.described(notes=(*videos.notes, *_classes_of_few(videos)))


def _classes_of_few(videos: VideoSet) -> list[str]:
    notes = []
    for part, needed in {"train": 2, "validation": 1, "test": 1}.items():
        counts = Counter(label for video in videos.part(part) for label in video.labels)
        few = [name for label, name in enumerate(videos.classes) if counts[label] < needed]
        if few:
            named = ", ".join(map(printable, few[:5])) + (", ..." if len(few) > 5 else "")
            what = "fewer than 2 training videos" if part == "train" else f"no {part} video"
            notes.append(f"{len(few)} of {len(videos.classes)} classes have {what} that can be used: {named}")
    return notes


def share_of(videos: VideoSet, share: float) -> VideoSet:
    """The set with a share of its training videos, at least two, drawn by their names: a smaller share is part of a larger."""
    if share == 1:
        return videos
    return _with_training(videos, _drawn(videos.train, max(2, round(share * len(videos.train)))))


def labelled_share_of(videos: VideoSet, share: float, draw: int) -> VideoSet:
    """The set with a share of each class's training videos, at least one, drawn by their names and the number of the draw.

    A smaller share of the same draw is part of a larger one. A note says of how many classes the share is less than a video.
    """
    if share == 1:
        return videos
    by_class: dict[int, list[Video]] = {}
    for video in videos.train:
        if video.labels:
            by_class.setdefault(video.label, []).append(video)
    wanted = {label: round(share * len(of_class)) for label, of_class in by_class.items()}
    drawn = [video for label, of_class in by_class.items() for video in _drawn(of_class, max(1, wanted[label]), draw)]
    raised = sum(not count for count in wanted.values())
    of = f"{raised} of {len(by_class)} classes"
    note = f"data.labelled_share = {share} is less than a training video of {of}: one is used of each"
    found = _with_training(videos, drawn)
    return replace(found, notes=(*found.notes, note)) if raised else found


def _drawn(videos: Sequence[Video], count: int, draw: int = 0) -> list[Video]:
    salt = f"{draw}/" if draw else ""
    return sorted(videos, key=lambda video: hashlib.sha256(f"{salt}{video.name}".encode()).digest())[:count]


def _with_training(videos: VideoSet, kept: Sequence[Video]) -> VideoSet:
    """In the order of the whole set."""
    names = {video.name for video in kept}
    return replace(videos, train=tuple(video for video in videos.train if video.name in names))


@functools.lru_cache(maxsize=32)
def _open(
    dataset: str,
    split: int,
    validation_fraction: float,
    embedded: EmbeddedSettings,
    decoder: str,
    verify: Verify,
    cache: Path,
    sources: tuple[tuple[str, DataSource], ...],
    stand_ins: tuple[tuple[str, str], ...],
) -> VideoSet:
    """One set, whatever it is read for and beside what other sets: the rows of a table that share a set read it once."""
    name = dict(stand_ins).get(dataset, dataset)
    if "+" in name:
        how = (split, validation_fraction, embedded, decoder, verify)
        return join_videos([_open(part, *how, cache, sources, ()) for part in name.split("+")])
    asked = (dataset, split, validation_fraction, embedded, decoder, verify, cache, sources, stand_ins)
    key = digest(list(map(repr, asked)))
    with _garbage_sought_seldom():
        if (known := OPEN_SETS.find(key)) is not None:
            return known
        if name == "embedded":
            videos = embedded_videos(stand_in(embedded, dataset), cache)
        else:
            source = dict(sources).get(name, DataSource(None, None))
            its_split = 1 if name in LAYOUTS and find_layout(name).one_split else split
            videos = read_videos(name, source, split=its_split, validation_fraction=validation_fraction)
        videos = take_inventory(videos, cache, decoder=decoder, verify=verify, supervised=False)
    OPEN_SETS.opened(key, videos)
    return videos


@contextlib.contextmanager
def _garbage_sought_seldom() -> Iterator[None]:
    """While many objects are made that stay, and never among them later: each search would look at all of them."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 50)
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*before)


def stand_in(settings: EmbeddedSettings, dataset: str) -> EmbeddedSettings:
    """The embedded clips that take a data set's place: other clips for each, in something like the sets' proportions.

    kinetics400 has all classes, and kinetics100 the same videos of the fewest classes; hmdb51 is half as large as ucf101.
    """
    few, all_classes = 6, 10
    changes: dict[str, dict[str, int]] = {
        "ucf101": {"seed": settings.seed + 1},
        "hmdb51": {"seed": settings.seed + 2, "train": max(1, settings.train // 2)},
        "kinetics400": {"seed": settings.seed + 3, "classes": all_classes},
        "kinetics100": {"seed": settings.seed + 3, "classes": few},
        "ccv": {"seed": settings.seed + 4},
    }
    return settings.model_copy(update=changes.get(dataset, {}))


def describe(videos: VideoSet) -> dict[str, Any]:
    """What the ledger keeps of a video set: identity and counts, no path.

    duplicates: validation and test videos whose content is also trained on.
    """
    shared = duplicates(videos).counts
    return {
        "dataset": videos.dataset,
        "fingerprint": videos.fingerprint("train", "validation", "test"),
        "classes": len(videos.classes),
        "train": len(videos.train),
        "validation": len(videos.validation),
        "test": len(videos.test),
        "missing": videos.missing,
        "duplicates": sum(count for (part, _), count in shared.items() if part == "train"),
        "skipped": {skipped.name: skipped.reason for skipped in videos.skipped},
    }
