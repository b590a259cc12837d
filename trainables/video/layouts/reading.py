"""The layouts that are known, and how a dataset in one of them is read."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from trainables.video.layouts import ccv, folder, hmdb51, kinetics100, kinetics400, ucf101
from trainables.video.layouts.groups import carve_validation
from trainables.video.layouts.listing import UNNAMED, Entry, Listing, first_video
from trainables.video.layouts.videos import PARTS, UNLABELLED, DataError, DataSource, Video, VideoSet


class Layout(NamedTuple):
    """A way in which a dataset lies on disk.

    `read(root, splits, split)` lists its videos; `lies_at(root, splits, sample)` says whether it is what lies there,
    where `sample` is the name of one of the videos, if there is any.
    """

    read: Callable[[Path, Path | None, int], Listing]
    lies_at: Callable[[Path, Path | None, str | None], bool]


LAYOUTS: dict[str, Layout] = {
    "ucf101": Layout(ucf101.read, ucf101.lies_at),
    "hmdb51": Layout(hmdb51.read, hmdb51.lies_at),
    "ccv": Layout(ccv.read, ccv.lies_at),
    "kinetics100": Layout(kinetics100.read, kinetics100.lies_at),
    "kinetics400": Layout(kinetics400.read, kinetics400.lies_at),
    "folder": Layout(folder.read, folder.lies_at),
}
"""The layouts by name, in the order in which they are recognised."""


def read_videos(dataset: str, source: DataSource, *, split: int, validation_fraction: float) -> VideoSet:
    """The videos of `dataset` as they lie at `source`.

    `split` is the official split (UCF101 and HMDB51: 1 to 3; CCV and Kinetics: 1) or the fold that is the test part.
    `validation_fraction`, in [0, 1), is the share of each class's training groups that is held out for validation: at
    least one where a class has two or more, none at 0. Raises DataError.
    """
    if dataset not in LAYOUTS:
        raise DataError(f"unknown dataset {dataset!r}; valid: {', '.join(sorted([*LAYOUTS, 'embedded']))}")
    if not 0 <= validation_fraction < 1:
        raise DataError(f"validation fraction {validation_fraction}; valid: at least 0 and below 1")
    if source.root is None:
        raise DataError(f"where the videos of {dataset} lie is not known; give --data {dataset}=DIR")
    if not source.root.is_dir():
        raise DataError(f"{source.root}: no such directory; --data {dataset}=DIR is the one that holds the videos")
    listing = LAYOUTS[dataset].read(source.root, source.splits, split)
    return _assemble(dataset, listing, validation_fraction)


def recognise_layout(root: Path, splits: Path | None = None) -> str | None:
    """The name of the layout that lies at `root`, with its lists there or at `splits`; None without lists or videos.

    Told by the official lists and by the official file names, so that a copy of UCF101 without its lists is not taken
    for any folder of videos, with other parts: reading it says which lists it needs.
    """
    if not root.is_dir():
        return None
    sample = first_video(root)
    return next((name for name, layout in LAYOUTS.items() if layout.lies_at(root, splits, sample)), None)


def _assemble(dataset: str, listing: Listing, validation_fraction: float) -> VideoSet:
    if not listing.entries:
        raise _nothing_there(listing)
    used = {entry.label for entry in listing.entries}
    classes = tuple(name for name in listing.classes if name in used)
    label_of = {UNNAMED: UNLABELLED} | {name: label for label, name in enumerate(classes)}
    parts: dict[str, list[Video]] = {part: [] for part in PARTS}
    for entry in listing.entries:
        others = tuple(label_of[name] for name in entry.others if name in label_of)
        video = Video(entry.name, listing.root / entry.name, label_of[entry.label], entry.group, others=others)
        parts[entry.part].append(video)
    train, validation = tuple(parts["train"]), tuple(parts["validation"])
    if validation:
        _expect_apart(train, validation, listing.entries[0])
    else:
        train, validation = carve_validation(train, validation_fraction)
    return VideoSet(
        dataset,
        classes,
        train,
        validation,
        tuple(parts["test"]),
        missing=len(listing.missing),
        skipped=listing.skipped,
        labelled=listing.labelled,
    )


def _nothing_there(listing: Listing) -> DataError:
    if not listing.missing:
        return DataError(f"{listing.root}: the lists name no video")
    first = listing.missing[0]
    return DataError(
        f"{listing.root}: none of the {len(listing.missing)} listed videos is there; "
        f"the first is {first.name!r} ({first.where})"
    )


def _expect_apart(train: tuple[Video, ...], validation: tuple[Video, ...], listed: Entry) -> None:
    shared = {video.group for video in train} & {video.group for video in validation}
    if shared:
        raise DataError(
            f"{listed.where.rpartition(':')[0]}: group {min(shared)!r} is in train and in validation; "
            "a group belongs to one of them"
        )
