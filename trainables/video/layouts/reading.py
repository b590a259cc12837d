"""The layouts that are known, and how a dataset in one of them is read."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from trainables.settings import LAYOUTS, SettingsError
from trainables.suggestions import did_you_mean
from trainables.video.layouts.groups import hold_out, said_of
from trainables.video.layouts.listing import UNNAMED, Entry, Layout, Listing, expect_apart, first_video
from trainables.video.layouts.texts import shown
from trainables.video.videos import PARTS, UNLABELLED, DataError, DataSource, Skipped, Video, VideoSet, printable


def find_layout(name: str) -> Layout:
    """The layout of this name, or of an import path `package.module:NAME`. Raises SettingsError."""
    layout = LAYOUTS.find(name)
    if not isinstance(layout, Layout):
        raise SettingsError(f"data set {name}: not a trainables.video.layouts.Layout")
    return layout


def read_videos(dataset: str, source: DataSource, *, split: int, validation_fraction: float) -> VideoSet:
    """The videos of `dataset` as they lie at `source`.

    `split` is the official split (UCF101 and HMDB51: 1 to 3; CCV and Kinetics: 1) or the fold that is the test part.
    `validation_fraction`, in [0, 1), is the share of each class's training videos that is held out for validation, by whole
    groups. What of it is reached, and of a test part that no list says, is in the set's notes. Raises DataError.
    """
    if dataset not in LAYOUTS:
        raise DataError(f"unknown dataset {dataset!r}{did_you_mean(dataset, LAYOUTS)}; valid: embedded, {LAYOUTS.valid}")
    if not 0 <= validation_fraction < 1:
        raise DataError(f"validation fraction {validation_fraction}; valid: at least 0 and below 1")
    if source.root is None:
        raise DataError(f"where the videos of {dataset} lie is not known; give --data {dataset}=DIR")
    if not source.root.is_dir():
        raise DataError(f"{source.root}: no such directory; --data {dataset}=DIR is the one that holds the videos")
    try:
        listing = find_layout(dataset).read(source.root, source.splits, split)
        return assemble(dataset, listing, validation_fraction)
    except DataError as error:
        raise DataError(printable(str(error))) from None


def recognise_layout(root: Path, splits: Path | None = None) -> str | None:
    """The name of the layout that lies at `root`, with its lists there or at `splits`; None without lists or videos.

    Told by the official lists and by the official file names, so that a copy of UCF101 without its lists is not taken
    for any folder of videos, with other parts: reading it says which lists it needs.
    """
    if not root.is_dir():
        return None
    try:
        sample = first_video(root)
    except DataError as error:
        raise DataError(printable(str(error))) from None
    return next((name for name in LAYOUTS if find_layout(name).lies_at(root, splits, sample)), None)


def assemble(dataset: str, listing: Listing, validation_fraction: float) -> VideoSet:
    """The videos of a listing in three parts with dense labels. Raises DataError."""
    if not listing.entries:
        raise _nothing_there(listing)
    entries, notes = listing.entries, [*listing.notes, *_notes_on_shared_groups(listing.entries)]
    if any(entry.part == "validation" for entry in entries):
        expect_apart(entry for entry in entries if entry.part != "test")
    elif validation_fraction:
        entries, note = _with_validation(entries, validation_fraction)
        notes += note
    used = {entry.label for entry in entries}
    classes = tuple(name for name in listing.classes if name in used)
    label_of = {UNNAMED: UNLABELLED} | {name: label for label, name in enumerate(classes)}
    parts: dict[str, list[Video]] = {part: [] for part in PARTS}
    for entry in entries:
        others = tuple(label_of[name] for name in entry.others if name in label_of)
        video = Video(entry.name, listing.root / entry.name, label_of[entry.label], entry.group, others=others)
        parts[entry.part].append(video)
    return VideoSet(
        dataset,
        classes,
        **{part: tuple(videos) for part, videos in parts.items()},
        missing=len(listing.missing),
        skipped=tuple(Skipped(printable(item.name), printable(item.reason)) for item in listing.skipped),
        labelled=listing.labelled,
        notes=tuple(map(printable, notes)),
    )


def _notes_on_shared_groups(entries: Sequence[Entry]) -> list[str]:
    """What to say of groups that official lists have on both sides."""
    trained = {entry.group for entry in entries if entry.part != "test"}
    tested = [entry for entry in entries if entry.part == "test"]
    shared = sum(entry.group in trained for entry in tested)
    if not shared:
        return []
    return [f"{shared} of {len(tested)} test videos are of groups (films, scenes) that training videos are of, by its lists"]


def _with_validation(entries: tuple[Entry, ...], fraction: float) -> tuple[tuple[Entry, ...], list[str]]:
    """The entries with a share of the training part as validation part, by group, and what there is to say of it."""
    members = [(entry.label, entry.group) for entry in entries if entry.part == "train"]
    if not members:
        return entries, []
    held = hold_out(members, fraction)
    listed = tuple(
        replace(entry, part="validation") if entry.part == "train" and entry.group in held else entry for entry in entries
    )
    return listed, [said_of("validation", members, held, fraction)]


def _nothing_there(listing: Listing) -> DataError:
    if not listing.missing:
        return DataError(f"{listing.root}: the lists name no video")
    first = listing.missing[0]
    return DataError(
        f"{listing.root}: none of the {len(listing.missing)} listed videos is there; "
        f"the first is {shown(first.name)} ({first.where})"
    )
