"""UCF101: `<root>/<Class>/*.avi`, with the official lists `classInd.txt`, `trainlist0S.txt` and `testlist0S.txt`.

A group is the source video, `gNN` in `v_<Class>_gNN_cMM.avi`, within its class.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from trainables.video.layouts.listing import Entry, Layout, Listing, list_folders, sort_out_missing
from trainables.video.layouts.texts import below, lines, shown
from trainables.video.videos import DataError

_ARCHIVE = "ucfTrainTestlist"


def read(root: Path, splits: Path | None, split: int) -> Listing:
    """The videos of official split 1, 2 or 3. Raises DataError."""
    lists = _lists(root, splits)
    classes = _class_index(lists / "classInd.txt")
    entries: dict[str, Entry] = {}
    for part in ("train", "test"):
        for entry in _list(root, lists / f"{part}list{split:02d}.txt", part, classes):
            if entry.name in entries:
                raise DataError(f"{entry.where}: {entry.name!r} is listed before, at {entries[entry.name].where}")
            entries[entry.name] = entry
    return Listing(root, tuple(classes.values()), *sort_out_missing(root, entries.values()))


def lies_at(root: Path, splits: Path | None, sample: str | None) -> bool:
    """Whether the official lists are there, or the video `sample` has an official name."""
    named = sample is not None and re.search(r"(^|/)v_\w+_g\d+_c\d+(\.\w+)?$", sample) is not None
    return named or any((place / "classInd.txt").is_file() for place in list_folders(root, splits, _ARCHIVE))


def _lists(root: Path, splits: Path | None) -> Path:
    searched = list_folders(root, splits, _ARCHIVE)
    for place in searched:
        if (place / "classInd.txt").is_file():
            return place
    raise DataError(
        f"no classInd.txt in {' or '.join(map(str, searched))}; expected the official lists of UCF101 "
        "(classInd.txt, trainlist01.txt, testlist01.txt, ...): give their directory with --splits ucf101=DIR"
    )


def _class_index(path: Path) -> dict[int, str]:
    classes: dict[int, str] = {}
    for where, line in lines(path):
        match = re.fullmatch(r"(\d{1,9})\s+(\S.*)", line)
        if match is None:
            raise DataError(f"{where}: {shown(line)}; expected a class number and a class name, such as '1 ApplyEyeMakeup'")
        number, name = int(match[1]), match[2]
        if number in classes or name in classes.values():
            raise DataError(f"{where}: class {shown(line)} is listed twice")
        classes[number] = name
    if not classes:
        raise DataError(f"{path}: no class in it; expected lines such as '1 ApplyEyeMakeup'")
    return dict(sorted(classes.items()))


def _list(root: Path, path: Path, part: str, classes: dict[int, str]) -> Iterator[Entry]:
    if not path.is_file():
        found = sorted(file.name for file in path.parent.glob("t*list*.txt"))
        raise DataError(f"{path}: no such list; {path.parent} has {', '.join(found) or 'no trainlist or testlist'}")
    names = set(classes.values())
    for where, line in lines(path):
        match = re.fullmatch(r"([^/]+)/([^/]+\.\w+?)(?:\s+(\d{1,9}))?", line)
        if match is None:
            raise DataError(f"{where}: {shown(line)}; expected 'Class/video.avi', in training lists then a class number")
        label, file, number = match[1], match[2], match[3]
        if label not in names:
            raise DataError(f"{where}: class {shown(label)} is not in classInd.txt")
        if number is not None and classes.get(int(number)) != label:
            raise DataError(f"{where}: class number {number} is not that of {shown(label)} in classInd.txt")
        group = re.search(r"_(g\d+)_c\d+\.\w+$", file)
        if group is None:
            raise DataError(f"{where}: no group in {shown(file)}; expected a name such as 'v_Punch_g08_c01.avi'")
        yield Entry(below(root, f"{label}/{file}", where), label, f"{label}/{group[1]}", part, where)


LAYOUT = Layout(read, lies_at)
