"""Lists of `path label`, as PyTorchVideo, SlowFast, VideoMAE and mmaction2 read them: a file for each part.

Files are `.txt` or `.csv` with `train`, `val` or `test` as a word of their name (`train.csv`, `k400_val_list_videos.txt`).
A line is a path below the root and the number of a class, or path, number of frames and number of a class, separated by
blanks or commas; a path is that of a file or of a directory of frames, and may hold blanks if it ends as videos do or such a
directory is there. Where no line has a class (`-1`, or none) the videos serve
for pretraining only. Of lists of several splits (`hmdb51_train_split_1_videos.txt`), those of `data.split` are read.

Validation videos that are listed beside test videos are the validation part. Without a test list, or where it has no labels
or repeats the validation list, as it often does, they are the test part, and validation is carved out of the training part.
Classes are named by a file beside the lists, a class per line (`classes.txt`, `label_map_k400.txt`), or else are numbers.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from trainables.video.layouts.listing import (
    Entry,
    Layout,
    Listing,
    list_folders,
    note_on_test_part,
    sort_out_missing,
    with_test_part,
    youtube_id,
)
from trainables.video.layouts.texts import below, lines, shown
from trainables.video.videos import EXTENSIONS, PARTS, DataError, Skipped, without_extension

_PARTS = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}
_UNLABELLED = "unlabelled"
_ENDING = rf"(?:{'|'.join(map(re.escape, EXTENSIONS))})"
_VIDEO = rf"(?P<path>.*{_ENDING})(?:(?:[\s,]+\d+)?[\s,]+(?P<label>-1|\d{{1,9}}))?"
_LABEL = r"[\s,]+(?P<label>-1|\d{1,9})"
_FRAMES = rf"(?P<path>[^\s,]+)[\s,]+\d+{_LABEL}"
_BARE = rf"(?P<path>[^\s,]+){_LABEL}"
_WITH_BLANKS = (rf"(?P<path>.*[^\s,])[\s,]+\d+{_LABEL}", rf"(?P<path>.*[^\s,]){_LABEL}")
_HEADING = {"id", "index", "number", "name", "class", "label"}
_EXPECTED = "expected 'path label' or 'path frames label', with the number of a class"


def read(root: Path, splits: Path | None, split: int) -> Listing:
    """The videos of the lists. Raises DataError."""
    lists = _lists(root, splits, split)
    skipped: list[Skipped] = []
    parts = {part: _list(root, lists[part], part, skipped) for part in PARTS if part in lists}
    if "train" not in parts:
        raise DataError(f"{_place(root, splits)}: lists of {' and '.join(parts)} videos, and none of training videos (*train*)")
    if _without_labels(parts.get("test", [])) and not _without_labels(parts["train"]):
        del parts["test"]
    repeated = {entry.name for entry in parts.get("test", ())} == {entry.name for entry in parts.get("validation", ())}
    if repeated or "test" not in parts:
        parts["test"] = [replace(entry, part="test") for entry in parts.pop("validation", ())]
    entries = tuple(entry for listed in parts.values() for entry in listed)
    _expect_listed_once(entries)
    labelled, notes = _is_labelled(entries), []
    if labelled and not (lists.keys() - {"train"}):
        entries = with_test_part(entries)
        notes = [note_on_test_part(entries)]
    present, missing = sort_out_missing(root, entries)
    names = _class_names(_place(root, splits), entries) if labelled else {_UNLABELLED: _UNLABELLED}
    present, missing = (tuple(replace(entry, label=names[entry.label]) for entry in some) for some in (present, missing))
    return Listing(root, tuple(names.values()), present, missing, tuple(skipped), labelled, tuple(notes))


def lies_at(root: Path, splits: Path | None, sample: str | None) -> bool:
    """Whether there is a list of training videos of which the first line is as expected."""
    return any(_is_list(root, path) for place in list_folders(root, splits) for path in _of_parts(place).get("train", ()))


def _is_list(root: Path, path: Path) -> bool:
    try:
        first = next(lines(path), ("", ""))[1]
    except DataError:
        return False
    match = _matched(root, first)
    return match is not None and (match.re.pattern in (_VIDEO, _FRAMES) or _is_directory(root, match["path"]))


def _matched(root: Path, line: str) -> re.Match[str] | None:
    """A line of a list taken apart; None if it is none."""
    for pattern in (_VIDEO, _FRAMES, _BARE, *_WITH_BLANKS):
        match = re.fullmatch(pattern, line, re.IGNORECASE)
        if match and (pattern not in _WITH_BLANKS or _is_directory(root, match["path"])):
            return match
    return None


def _is_directory(root: Path, name: str) -> bool:
    try:
        return (root / name).is_dir()
    except (OSError, ValueError):
        return False


def _of_parts(place: Path) -> dict[str, list[Path]]:
    """The files of a directory whose name says a part."""
    found: dict[str, list[Path]] = {}
    for path in sorted(place.glob("*")):
        words = re.split(r"[\W_]+", path.stem.lower())
        part = next((_PARTS[word] for word in words if word in _PARTS), None)
        if part and path.suffix.lower() in (".txt", ".csv") and not path.name.startswith("."):
            found.setdefault(part, []).append(path)
    return found


def _place(root: Path, splits: Path | None) -> Path:
    """The directory of the lists."""
    if splits is not None and not splits.is_dir():
        raise DataError(f"{splits}: not a directory; give the one that holds the lists with --splits lists=DIR")
    searched = list_folders(root, splits)
    found = next((place for place in searched if _of_parts(place)), None)
    if found is None:
        raise DataError(
            f"no list of videos in {' or '.join(map(str, searched))}; expected train.csv, val.csv and test.csv (or .txt), with "
            "'path label' in each line: give their directory with --splits lists=DIR"
        )
    return found


def _lists(root: Path, splits: Path | None, split: int) -> dict[str, Path]:
    """The list of each part; where there are several, that of the split, and of videos rather than of frames."""
    place = _place(root, splits)
    lists = {}
    for part, paths in _of_parts(place).items():
        numbers = {path: int(match[1]) for path in paths if (match := re.search(r"split_?(\d+)", path.stem.lower()))}
        if numbers and split not in numbers.values():
            there = ", ".join(map(str, sorted(set(numbers.values()))))
            raise DataError(f"{place}: no list of split {split} ({part}); splits of which there are lists: {there}")
        paths = [path for path in paths if numbers.get(path, split) == split]
        of_videos = [path for path in paths if "rawframes" not in path.stem.lower()] or paths
        if len(of_videos) > 1:
            raise DataError(
                f"{place}: several lists of {part} videos: {', '.join(path.name for path in of_videos)}; expected one"
            )
        lists[part] = of_videos[0]
    return lists


def _list(root: Path, path: Path, part: str, skipped: list[Skipped]) -> list[Entry]:
    """The videos of one list; those that it repeats are added to `skipped`. Raises DataError."""
    entries: dict[str, Entry] = {}
    for where, line in lines(path):
        match = _matched(root, line)
        if match is None:
            raise DataError(f"{where}: {shown(line)}; {_EXPECTED}")
        name = below(root, match["path"], where)
        label = match["label"] or "-1"
        entry = Entry(name, _UNLABELLED if label == "-1" else str(int(label)), _source(name), part, where)
        before = entries.setdefault(name, entry)
        if before.label != entry.label:
            raise DataError(f"{where}: {shown(name)} is of class {entry.label}, and of class {before.label} at {before.where}")
        if before is not entry:
            skipped.append(Skipped(name, f"listed twice ({where})"))
    if not entries:
        raise DataError(f"{path}: no video in it; {_EXPECTED}")
    return list(entries.values())


def _source(name: str) -> str:
    """The video that a clip named as those of UCF101 or Kinetics was cut from; of others, the clip itself."""
    return re.sub(r"(v_\w+_g\d+)_c\d+$", r"\1", youtube_id(without_extension(name)))


def _expect_listed_once(entries: Sequence[Entry]) -> None:
    first: dict[str, Entry] = {}
    for entry in entries:
        before = first.setdefault(entry.name, entry)
        if before is not entry:
            raise DataError(f"{entry.where}: {shown(entry.name)} is in {entry.part}, and in {before.part} at {before.where}")


def _without_labels(entries: Sequence[Entry]) -> bool:
    return bool(entries) and all(entry.label == _UNLABELLED for entry in entries)


def _is_labelled(entries: Sequence[Entry]) -> bool:
    """Whether the videos have labels: all, or none. Raises DataError for the first that has none among others."""
    without = [entry for entry in entries if entry.label == _UNLABELLED]
    if without and len(without) < len(entries):
        raise DataError(f"{without[0].where}: {shown(without[0].name)} has no label, and others have; {_EXPECTED}")
    return not without


def _class_names(place: Path, entries: Sequence[Entry]) -> dict[str, str]:
    """The name of each number of a class, in the order of the numbers."""
    numbers = sorted({entry.label for entry in entries}, key=int)
    found = [path for path in sorted(place.glob("*")) if re.fullmatch(r"(?!\.).*(class|label).*\.(txt|csv)", path.name.lower())]
    files = [path for path in found if not any(path in paths for paths in _of_parts(place).values())]
    if not files:
        return {number: number for number in numbers}
    if len(files) > 1:
        raise DataError(f"{place}: several lists of classes: {', '.join(path.name for path in files)}; expected one")
    names = _numbered(files[0])
    for entry in entries:
        if entry.label not in names:
            raise DataError(f"{entry.where}: class {entry.label}; {files[0]} names {len(names)}, {_ends(names)}")
    return {number: names[number] for number in sorted(names, key=int)}


def _ends(names: dict[str, str]) -> str:
    numbers = sorted(map(int, names))
    return f"{numbers[0]} to {numbers[-1]}" if numbers else "none"


def _numbered(path: Path) -> dict[str, str]:
    """Classes by number: as each line begins or ends with one, or else from 0; a heading is no class."""
    listed = [(where, line) for where, line in lines(path) if not set(re.split(r"[\s,]+", line.lower())) <= _HEADING]
    number_first, number_last = r"(?P<number>\d{1,9})[\s,]+(?P<name>.*\S)", r"(?P<name>.*?\S)[\s,]+(?P<number>\d{1,9})"
    pairs = [(str(number), line) for number, (_, line) in enumerate(listed)]
    for pattern in (number_first, number_last):
        matches = [match for _, line in listed if (match := re.fullmatch(pattern, line))]
        if listed and len(matches) == len(listed):
            pairs = [(str(int(match["number"])), match["name"]) for match in matches]
            break
    names: dict[str, str] = {}
    for (where, _), (number, name) in zip(listed, pairs, strict=True):
        if number in names or name in names.values():
            raise DataError(f"{where}: class {shown(name)} ({number}) is listed twice")
        names[number] = name
    return names


LAYOUT = Layout(read, lies_at)
