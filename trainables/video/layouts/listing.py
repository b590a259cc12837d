"""What a layout gives: the videos that it lists. And what layouts share to read lists and directories."""

import errno
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from trainables.video.frame_folders import is_frame
from trainables.video.layouts.groups import hold_out, said_of
from trainables.video.layouts.texts import shown
from trainables.video.videos import EXTENSIONS, DataError, Skipped, without_extension

UNNAMED = ""
"""The label of a test video that shows none of the classes."""
TEST_FRACTION = 0.2
"""What is held out for testing where no list says what is."""


@dataclass(frozen=True)
class Entry:
    """A video as a layout lists it, with its class, or the first of several and the `others`.

    `where` is the file and line that names it, for error messages.
    """

    name: str
    label: str
    group: str
    part: str
    where: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """The listed videos that are on disk below `root`, and those that are not. `classes` are in the order of labels.

    `notes` are lines on the data that its user should read.
    """

    root: Path
    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    missing: tuple[Entry, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    labelled: bool = True
    notes: tuple[str, ...] = ()


class Layout(NamedTuple):
    """A way in which a dataset lies on disk.

    `read(root, splits, split)` lists its videos, or raises DataError; `lies_at(root, splits, sample)` says whether it is what
    lies there, where `sample` is the name of one of the videos, if there is any. one_split: whether it has a single split,
    whatever split other sets are read in.
    """

    read: Callable[[Path, Path | None, int], Listing]
    lies_at: Callable[[Path, Path | None, str | None], bool]
    one_split: bool = False


def sort_out_missing(root: Path, entries: Iterable[Entry]) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """The entries of which the video is there, and the others. Each directory is read once, however many it holds.

    A video is a file of the name, or else a directory of frames of the name, or of the name without its extension: then it is
    the entry's name. Raises DataError for two entries of one directory.
    """
    found: dict[str, _Contents] = {}
    seen: dict[str, Entry] = {}
    present: list[Entry] = []
    missing: list[Entry] = []
    for entry in entries:
        folder, _, name = entry.name.rpartition("/")
        if folder not in found:
            found[folder] = _contents(root / folder)
        there = found[folder]
        if name not in there.files:
            frames = next((one for one in (name, without_extension(name)) if one in there.directories), None)
            if frames is None:
                missing.append(entry)
                continue
            entry = replace(entry, name=f"{folder}/{frames}" if folder else frames)
        before = seen.setdefault(entry.name, entry)
        if before is not entry and name not in there.files:
            raise DataError(f"{entry.where}: the directory {shown(entry.name)} is listed before, at {before.where}")
        present.append(entry)
    return tuple(present), tuple(missing)


class _Contents(NamedTuple):
    files: set[str]
    directories: set[str]


def _contents(directory: Path) -> _Contents:
    """What is in a directory; nothing where it is not there or a link leads nowhere. Raises DataError if it cannot be read."""
    contents = _Contents(set(), set())
    try:
        with os.scandir(directory) as found:
            for item in found:
                if _is(item.is_file):
                    contents.files.add(item.name)
                elif _is(item.is_dir):
                    contents.directories.add(item.name)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
            raise DataError(f"{directory}: cannot be read: {error.strerror}") from None
    return contents


def _is(of_that_sort: Callable[[], bool]) -> bool:
    """What `is_dir` or `is_file` says of a directory's item; a link in a loop is neither."""
    try:
        return of_that_sort()
    except OSError:
        return False


def with_test_part(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The entries with a fifth of each class's videos as test part, by whole groups, so that the choice never moves."""
    entries = tuple(entries)
    test = hold_out([(entry.label, entry.group) for entry in entries], TEST_FRACTION, salt="test ")
    return tuple(replace(entry, part="test") if entry.group in test else entry for entry in entries)


def note_on_test_part(entries: Iterable[Entry]) -> str:
    """What there is to say of the test part that `with_test_part` gave."""
    entries = tuple(entries)
    test = {entry.group for entry in entries if entry.part == "test"}
    return said_of("test", [(entry.label, entry.group) for entry in entries], test, TEST_FRACTION)


def expect_apart(entries: Iterable[Entry]) -> None:
    """Raises DataError, with the line, for a group in two parts: near-identical videos would be on both sides."""
    first: dict[str, Entry] = {}
    for entry in entries:
        before = first.setdefault(entry.group, entry)
        if before.part != entry.part:
            raise DataError(
                f"{entry.where}: group {shown(entry.group)} is in {before.part} and in {entry.part} "
                f"(in {before.part} at {before.where}); a group belongs to one of them"
            )


def list_folders(root: Path, splits: Path | None, *archives: str) -> list[Path]:
    """Where the lists of a dataset may lie: at `splits` or else at `root`, or in a directory there that is named so.

    `archives` are the names of the directories into which the official archives of lists unpack.
    """
    if splits is not None:
        return [splits, *(splits / name for name in archives)]
    return [root, *(root / name for name in (*archives, "splits", "annotations"))]


def video_files(root: Path) -> tuple[list[str], list[Skipped]]:
    """The videos below `root` in order of name, and those that cannot be used because their name is not UTF-8, or because they
    are frames of one that lies beside them as a file.

    A directory that holds images with numbers, and no videos, also not in directories in it, is a video. Links to directories
    are followed, except back to a directory that holds the link.
    """
    names, skipped = [], []
    found = dict(_walk(root, "", ()))
    files = {without_extension(name) for name, is_file in found.items() if is_file}
    for name, is_file in found.items():
        if not is_file and without_extension(name) in files:
            skipped.append(Skipped(name, "frames of a video that lies beside them as a file, which is read"))
            continue
        try:
            name.encode()
            names.append(name)
        except UnicodeEncodeError:
            shown = os.fsencode(name).decode("utf-8", "backslashreplace")
            skipped.append(Skipped(shown, "its name is not in UTF-8; rename it"))
    return sorted(names), skipped


def first_video(root: Path) -> str | None:
    """One of the videos below `root`, found without reading all of it; None if there is none."""
    return next((name for name, _ in _walk(root, "", ())), None)


def _walk(directory: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, bool]]:
    """The name of each video, and whether it is a file."""
    try:
        status = directory.stat()
        here = (status.st_dev, status.st_ino)
        if here in above:
            return
        with os.scandir(directory) as found:
            items = sorted(found, key=lambda item: item.name)
    except OSError as error:
        raise DataError(f"{directory}: cannot be read: {error.strerror}") from None
    folders = {item.name for item in items if _is(item.is_dir)}
    videos = [item.name for item in items if item.name.lower().endswith(EXTENSIONS) and _is(item.is_file)]
    above = (*above, here)
    if prefix and not videos and any(is_frame(item.name) for item in items):
        inside = [video for name in sorted(folders) for video in _walk(directory / name, f"{prefix}{name}/", above)]
        yield from inside or [(prefix[:-1], False)]
        return
    for name in sorted([*folders, *videos]):
        if name in folders:
            yield from _walk(directory / name, f"{prefix}{name}/", above)
        else:
            yield prefix + name, True


def stem(name: str) -> str:
    """What a video is called: without its directory, and without the extension of a file."""
    return without_extension(name.rpartition("/")[2])


def files_first(names: Iterable[str]) -> list[str]:
    """Names of videos in their order, but files before directories of frames."""
    return sorted(names, key=lambda name: not name.lower().endswith(EXTENSIONS))


def by_stem(names: Iterable[str]) -> dict[str, str]:
    """Names of videos by their stem; of those that share it, the first, and a file rather than a directory of frames."""
    return {stem(name): name for name in reversed(files_first(names))}


def sort_out_by_stem(root: Path, entries: Iterable[Entry]) -> tuple[tuple[Entry, ...], tuple[Entry, ...], tuple[Skipped, ...]]:
    """The entries of which a video of that stem lies anywhere below `root`, by its name, and those of which none does; and the
    files there that cannot be used. Raises DataError for a video that is listed twice."""
    names, skipped = video_files(root)
    files = by_stem(names)
    present: list[Entry] = []
    missing: list[Entry] = []
    seen: dict[str, str] = {}
    for entry in entries:
        called = stem(entry.name)
        if called in seen:
            raise DataError(f"{entry.where}: video {called} is listed before, at {seen[called]}")
        seen[called] = entry.where
        if called in files:
            present.append(replace(entry, name=files[called]))
        else:
            missing.append(entry)
    return tuple(present), tuple(missing), tuple(skipped)


def find_annotations(places: Iterable[Path], prefixes: Iterable[str], names: Iterable[str]) -> tuple[Path, str] | None:
    """The first directory in which `<prefix><name>.json` is there for all names, and that prefix; None if there is none."""
    wanted = tuple(names)
    for place, prefix in itertools.product(places, prefixes):
        if all((place / f"{prefix}{name}.json").is_file() for name in wanted):
            return place, prefix
    return None


def youtube_id(stem: str) -> str:
    """The YouTube video of which a clip named `<youtube_id>[_<start>_<end>]` is a part; times have six digits."""
    return re.sub(r"_\d{6}_\d{6}$", "", stem)
