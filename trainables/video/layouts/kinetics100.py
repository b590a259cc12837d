"""Kinetics-100: the 100 classes of Kinetics-400 in a list, laid out as Kinetics-400 is. The list may be of any length.

It is a file with a class per line, after which a number of videos may follow (`answering_questions 320`), or one with a
video per line (`answering_questions/<youtube_id>_<start>_<end> 300`), which then says what the training videos are. It is
given with `--splits kinetics100=FILE`, or lies as `*class*.txt` or `*.list` in the directory given or at the root; two
there must name the same classes. The csvs lie beside it or at the root. What the lists name of a class that is absent
from the disk is counted as missing; a class of which they name no video counts as one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trainables.video.layouts import kinetics400
from trainables.video.layouts.kinetics400 import (
    Clip,
    class_name,
    expect_split,
    find_clips,
    find_tables,
    is_of_kinetics,
    read_folders,
    read_tables,
)
from trainables.video.layouts.listing import Entry, Layout, Listing, list_folders
from trainables.video.layouts.texts import lines, shown
from trainables.video.videos import EXTENSIONS, DataError

_EXPECTED = "expected 'class', 'class videos' or, in all lines, 'class/video frames'"
_CLASSES_OF_KINETICS400 = 400


@dataclass(frozen=True)
class _ClassList:
    """Classes with the line that names each, and the training videos where these are listed."""

    path: Path
    classes: dict[str, str]
    clips: tuple[Clip, ...]


def read(root: Path, splits: Path | None, split: int) -> Listing:
    """The videos of the listed classes. Raises DataError."""
    expect_split(split)
    wanted = _class_list(root, splits)
    tables = find_tables([*_beside(root, splits), *list_folders(root, None)])
    listed = read_tables(tables)
    clips = [clip for clip in listed if clip.label in wanted.classes]
    if wanted.clips:
        clips = [*wanted.clips, *(clip for clip in clips if clip.part != "train")]
    if tables or clips:
        labels = {clip.label for clip in (*listed, *clips)}
        listing = find_clips(root, clips, labels, [wanted.path, *tables])
    else:
        listing = read_folders(root, only=wanted.classes)
    named = {entry.label for entry in (*listing.entries, *listing.missing)}
    absent = tuple(Entry(label, label, label, "train", where) for label, where in wanted.classes.items() if label not in named)
    return replace(listing, missing=(*listing.missing, *absent))


def lies_at(root: Path, splits: Path | None, sample: str | None) -> bool:
    """Whether Kinetics lies there with a list of some of its classes; a file given as `splits` is such a list."""
    if not kinetics400.lies_at(root, None, sample) and not any(map(is_of_kinetics, find_tables(_beside(root, splits)))):
        return False
    if splits is not None and splits.is_file():
        return splits.suffix != ".csv"
    try:
        return len(_class_list(root, splits).classes) < _CLASSES_OF_KINETICS400
    except DataError:
        return False


def _beside(root: Path, splits: Path | None) -> list[Path]:
    if splits is None:
        return list_folders(root, None)
    return [splits.parent if splits.is_file() else splits]


def _class_list(root: Path, splits: Path | None) -> _ClassList:
    found = _class_lists(root, splits)
    if not found:
        searched = " or ".join(str(place) for place in list_folders(root, splits))
        raise DataError(
            f"no list of classes (*class*.txt or *.list) in {searched}; give one with --splits kinetics100=FILE, "
            "a class per line"
        )
    lists = [_read_list(path) for path in found]
    for other in lists[1:]:
        differing = sorted(set(lists[0].classes) ^ set(other.classes))
        if differing:
            raise DataError(
                f"{lists[0].path} and {other.path} name different classes, such as {differing[0]!r}; "
                "give the one to use with --splits kinetics100=FILE"
            )
    return next((one for one in lists if one.clips), lists[0])


def _class_lists(root: Path, splits: Path | None) -> Sequence[Path]:
    if splits is not None and splits.is_file():
        return [splits]
    for place in list_folders(root, splits):
        found = [path for path in place.glob("*") if re.fullmatch(r"(?!\.)(.*class.*\.txt|.*\.list)", path.name.lower())]
        if found:
            return sorted(found)
    return []


def _read_list(path: Path) -> _ClassList:
    """A list of classes or of videos: the first line says which. Raises DataError."""
    classes: dict[str, str] = {}
    clips: dict[tuple[str, str], Clip] = {}
    of_videos: bool | None = None
    for where, line in lines(path):
        match = re.fullmatch(r"([^/,]*?[^/,\s])(?:/([^/]+?))?(?:\s+\d+)?", line)
        if match is None or of_videos not in (None, match[2] is not None):
            raise DataError(f"{where}: {shown(line)}; {_EXPECTED}")
        of_videos = match[2] is not None
        label = class_name(match[1])
        if of_videos:
            stem = re.sub(rf"({'|'.join(map(re.escape, EXTENSIONS))})$", "", match[2])
            clips[label, stem] = Clip(label, stem, "train", where)
        elif label in classes:
            raise DataError(f"{where}: {shown(line)} is listed before, at {classes[label]}")
        classes.setdefault(label, where)
    if not classes:
        raise DataError(f"{path}: no class in it; {_EXPECTED}")
    return _ClassList(path, classes, tuple(clips.values()))


LAYOUT = Layout(read, lies_at, one_split=True)
