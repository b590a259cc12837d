"""The layouts that are known, and how a dataset in one of them is read."""

from pathlib import Path

from trainables.settings import LAYOUTS, SettingsError
from trainables.suggestions import did_you_mean
from trainables.video.layouts.groups import carve_validation
from trainables.video.layouts.listing import UNNAMED, Entry, Layout, Listing, first_video
from trainables.video.videos import PARTS, UNLABELLED, DataError, DataSource, Video, VideoSet


def find_layout(name: str) -> Layout:
    """The layout of this name, or of an import path `package.module:NAME`. Raises SettingsError."""
    layout = LAYOUTS.find(name)
    if not isinstance(layout, Layout):
        raise SettingsError(f"data set {name}: not a trainables.video.layouts.Layout")
    return layout


def read_videos(dataset: str, source: DataSource, *, split: int, validation_fraction: float) -> VideoSet:
    """The videos of `dataset` as they lie at `source`.

    `split` is the official split (UCF101 and HMDB51: 1 to 3; CCV and Kinetics: 1) or the fold that is the test part.
    `validation_fraction`, in [0, 1), is the share of each class's training groups that is held out for validation: at
    least one where a class has two or more, none at 0. Raises DataError.
    """
    if dataset not in LAYOUTS:
        raise DataError(f"unknown dataset {dataset!r}{did_you_mean(dataset, LAYOUTS)}; valid: embedded, {LAYOUTS.valid}")
    if not 0 <= validation_fraction < 1:
        raise DataError(f"validation fraction {validation_fraction}; valid: at least 0 and below 1")
    if source.root is None:
        raise DataError(f"where the videos of {dataset} lie is not known; give --data {dataset}=DIR")
    if not source.root.is_dir():
        raise DataError(f"{source.root}: no such directory; --data {dataset}=DIR is the one that holds the videos")
    listing = find_layout(dataset).read(source.root, source.splits, split)
    return assemble(dataset, listing, validation_fraction)


def recognise_layout(root: Path, splits: Path | None = None) -> str | None:
    """The name of the layout that lies at `root`, with its lists there or at `splits`; None without lists or videos.

    Told by the official lists and by the official file names, so that a copy of UCF101 without its lists is not taken
    for any folder of videos, with other parts: reading it says which lists it needs.
    """
    if not root.is_dir():
        return None
    sample = first_video(root)
    return next((name for name in LAYOUTS if find_layout(name).lies_at(root, splits, sample)), None)


def assemble(dataset: str, listing: Listing, validation_fraction: float) -> VideoSet:
    """The videos of a listing in three parts with dense labels. Raises DataError."""
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
