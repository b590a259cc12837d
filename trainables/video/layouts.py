"""What videos a dataset has: the layouts in which datasets lie on disk, read into one form.

`read_videos("ucf101", source, split=1, validation_fraction=0.1)` gives the train, validation and test videos with dense
labels. Two layouts are known:

- `ucf101`: `<root>/<Class>/*.avi` and the official lists (`classInd.txt`, `trainlist0S.txt`, `testlist0S.txt`).
- `folder`: videos below a directory, with a csv of `path,label[,group][,split|fold]`, or one sub-folder per class.

The validation part is carved out of the official training part by *group* (the film or scene that a video was cut
from), so that near-identical videos never lie on both sides. A copy of a dataset may be partial: what the lists name
and the disk lacks is counted, and classes without any video are dropped.
"""

import csv
import hashlib
import json
import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

EXTENSIONS = (".avi", ".mp4", ".mkv", ".mov", ".webm", ".mpg")
PARTS = ("train", "validation", "test")


class DataError(ValueError):
    """A dataset that cannot be used as it lies on disk: says what is wrong, where, and what is expected."""


@dataclass(frozen=True)
class Video:
    """One video file of a dataset.

    `name` is its posix path below the dataset's root and its identity. `frames` is the number of frames that can be
    decoded and `decoder` the decoder that reads them exactly (0 and "" until the inventory was taken).
    """

    name: str
    path: Path
    label: int
    group: str
    frames: int = 0
    decoder: str = ""


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
    """The videos of a dataset in three parts. `missing` counts what the split lists name and the disk lacks."""

    dataset: str
    classes: tuple[str, ...]
    train: tuple[Video, ...]
    validation: tuple[Video, ...]
    test: tuple[Video, ...]
    missing: int = 0
    skipped: tuple[Skipped, ...] = ()

    def part(self, name: str) -> tuple[Video, ...]:
        """The videos of "train", "validation" or "test"."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        if name not in parts:
            raise ValueError(f"unknown part {name!r}; valid: {', '.join(PARTS)}")
        return parts[name]

    def fingerprint(self, *parts: str) -> str:
        """16 hex digits that identify the content of `parts` (all three by default).

        Hashes the classes and, for each video, (part, name, size in bytes, label); no path, host or time goes in, so
        the same data has the same fingerprint wherever it lies.
        """
        digest = hashlib.sha256(json.dumps(self.classes).encode())
        for part in sorted(set(parts or PARTS)):
            for video in sorted(self.part(part), key=lambda video: video.name):
                digest.update(json.dumps([part, video.name, video.path.stat().st_size, video.label]).encode())
        return digest.hexdigest()[:16]


def read_videos(dataset: str, source: DataSource, *, split: int, validation_fraction: float) -> VideoSet:
    """The videos of `dataset` as they lie at `source`.

    `split` is the official split (UCF101: 1 to 3) or the fold that is the test part. `validation_fraction`, in [0, 1),
    is the share of each class's training groups that is held out for validation: at least one where a class has two
    or more, none at 0. Raises DataError.
    """
    if dataset not in LAYOUTS:
        raise DataError(f"unknown dataset {dataset!r}; valid: {', '.join(sorted([*LAYOUTS, 'embedded']))}")
    if not 0 <= validation_fraction < 1:
        raise DataError(f"validation fraction {validation_fraction}; valid: at least 0 and below 1")
    if source.root is None:
        raise DataError(f"where the videos of {dataset} lie is not known; give --data {dataset}=DIR")
    if not source.root.is_dir():
        raise DataError(f"{source.root}: no such directory; --data {dataset}=DIR is the one that holds the videos")
    listing = LAYOUTS[dataset](source.root, source.splits, split)
    return _assemble(dataset, listing, validation_fraction)


def carve_validation(videos: Sequence[Video], fraction: float) -> tuple[tuple[Video, ...], tuple[Video, ...]]:
    """Split training videos into (train, validation) by group.

    In each class the groups are put in the order of the sha256 of their names and max(1, round(fraction * n)) of them
    are held out. A group that several classes share is held out of all of them, and no class loses its last group.
    """
    held = _hold_out([(video.label, video.group) for video in videos], fraction, rank=_rank) if fraction else set()
    train = tuple(video for video in videos if video.group not in held)
    return train, tuple(video for video in videos if video.group in held)


def _hold_out(members: Sequence[tuple[Hashable, str]], fraction: float, rank: Callable[[str], str]) -> set[str]:
    """The groups to hold out of the (class, group) pairs `members`."""
    groups: dict[Hashable, set[str]] = {}
    for label, group in members:
        groups.setdefault(label, set()).add(group)
    held: set[str] = set()
    for own in groups.values():
        wanted = max(1, round(fraction * len(own)))
        for group in sorted(own, key=rank):
            if len(own & held) >= wanted:
                break
            if all(others - held - {group} for others in groups.values() if group in others):
                held.add(group)
    return held


def _rank(group: str) -> str:
    return hashlib.sha256(group.encode()).hexdigest()


@dataclass(frozen=True)
class _Entry:
    """A video as a layout lists it. `where` is the file and line that names it, for error messages."""

    name: str
    label: str
    group: str
    part: str
    where: str


@dataclass(frozen=True)
class _Listing:
    root: Path
    classes: tuple[str, ...]
    entries: tuple[_Entry, ...]
    skipped: tuple[Skipped, ...] = ()


def _assemble(dataset: str, listing: _Listing, validation_fraction: float) -> VideoSet:
    present = [entry for entry in listing.entries if (listing.root / entry.name).is_file()]
    if not present:
        first = listing.entries[0]
        raise DataError(
            f"{listing.root}: none of the {len(listing.entries)} listed videos is there; "
            f"the first is {first.name!r} ({first.where})"
        )
    labels = {entry.label for entry in present}
    classes = tuple(name for name in listing.classes if name in labels)
    parts: dict[str, list[Video]] = {part: [] for part in PARTS}
    for entry in present:
        path = listing.root / entry.name
        parts[entry.part].append(Video(entry.name, path, classes.index(entry.label), entry.group))
    train, validation = tuple(parts["train"]), tuple(parts["validation"])
    if validation:
        shared = {video.group for video in train} & {video.group for video in validation}
        if shared:
            raise DataError(
                f"{present[0].where.partition(':')[0]}: group {min(shared)!r} is in train and in validation; "
                "a group belongs to one of them"
            )
    else:
        train, validation = carve_validation(train, validation_fraction)
    missing = len(listing.entries) - len(present)
    return VideoSet(dataset, classes, train, validation, tuple(parts["test"]), missing, listing.skipped)


def _ucf101(root: Path, splits: Path | None, split: int) -> _Listing:
    lists = _ucf101_lists(root, splits)
    classes = _class_index(lists / "classInd.txt")
    entries: dict[str, _Entry] = {}
    for part in ("train", "test"):
        for entry in _ucf101_list(lists / f"{part}list{split:02d}.txt", part, classes):
            if entry.name in entries:
                raise DataError(f"{entry.where}: {entry.name!r} is listed before, at {entries[entry.name].where}")
            entries[entry.name] = entry
    return _Listing(root, tuple(classes.values()), tuple(entries.values()))


def _ucf101_lists(root: Path, splits: Path | None) -> Path:
    places = [splits] if splits is not None else [root, root / "ucfTrainTestlist", root / "splits"]
    for place in places:
        if (place / "classInd.txt").is_file():
            return place
    raise DataError(
        f"no classInd.txt in {' or '.join(str(place) for place in places)}; expected the official lists of UCF101 "
        "(classInd.txt, trainlist01.txt, testlist01.txt, ...): give their directory with --splits ucf101=DIR"
    )


def _class_index(path: Path) -> dict[int, str]:
    classes: dict[int, str] = {}
    for where, line in _lines(path):
        match = re.fullmatch(r"(\d+)\s+(\S.*)", line)
        if match is None:
            raise DataError(f"{where}: {line!r}; expected a class number and a class name, such as '1 ApplyEyeMakeup'")
        number, name = int(match[1]), match[2]
        if number in classes or name in classes.values():
            raise DataError(f"{where}: class {line!r} is listed twice")
        classes[number] = name
    if not classes:
        raise DataError(f"{path}: no class in it; expected lines such as '1 ApplyEyeMakeup'")
    return dict(sorted(classes.items()))


def _ucf101_list(path: Path, part: str, classes: dict[int, str]) -> Iterable[_Entry]:
    if not path.is_file():
        found = sorted(file.name for file in path.parent.glob("t*list*.txt"))
        raise DataError(f"{path}: no such list; {path.parent} has {', '.join(found) or 'no trainlist or testlist'}")
    names = set(classes.values())
    for where, line in _lines(path):
        match = re.fullmatch(r"([^/]+)/([^/]+\.\w+?)(?:\s+(\d+))?", line)
        if match is None:
            raise DataError(f"{where}: {line!r}; expected 'Class/video.avi', in training lists then a class number")
        label, file, number = match[1], match[2], match[3]
        if label not in names:
            raise DataError(f"{where}: class {label!r} is not in classInd.txt")
        if number is not None and classes.get(int(number)) != label:
            raise DataError(f"{where}: class number {number} is not that of {label!r} in classInd.txt")
        group = re.search(r"_(g\d+)_c\d+\.\w+$", file)
        if group is None:
            raise DataError(f"{where}: no group in {file!r}; expected a name such as 'v_Punch_g08_c01.avi'")
        yield _Entry(f"{label}/{file}", label, f"{label}/{group[1]}", part, where)


def _lines(path: Path) -> Iterable[tuple[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8 ({error.reason})") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield f"{path}:{number}", line.strip()


def _folder(root: Path, splits: Path | None, split: int) -> _Listing:
    if splits is None:
        return _class_folders(root)
    if splits.is_dir():
        tables = sorted(splits.glob("*.csv"))
        if len(tables) != 1:
            raise DataError(f"{splits}: {len(tables)} csv files; give one with --splits folder=FILE.csv")
        splits = tables[0]
    if not splits.is_file():
        raise DataError(f"{splits}: no such file; expected a csv with the columns path,label[,group][,split|fold]")
    return _table(root, splits, split)


def _class_folders(root: Path) -> _Listing:
    entries = []
    skipped = []
    for name in _video_files(root):
        label, _, rest = name.partition("/")
        if rest:
            entries.append(_Entry(name, label, f"{label}/{Path(name).stem}", "train", str(root)))
        else:
            skipped.append(Skipped(name, "outside of the class folders"))
    if not entries:
        raise DataError(
            f"{root}: no videos ({', '.join(EXTENSIONS)}) in sub-folders; expected one sub-folder per class, "
            "or a csv given with --splits folder=FILE.csv"
        )
    classes = tuple(sorted({entry.label for entry in entries}))
    return _Listing(root, classes, _with_test_part(entries), tuple(skipped))


def _table(root: Path, path: Path, split: int) -> _Listing:
    rows, columns = _table_rows(path)
    entries: dict[str, _Entry] = {}
    skipped = []
    for where, row in rows:
        name = _name_below(root, row["path"], where)
        label = row["label"]
        group = row.get("group") or PurePosixPath(name).with_suffix("").as_posix()
        entry = _Entry(name, label, group, _table_part(row, split, where), where)
        before = entries.setdefault(name, entry)
        if before is entry:
            continue
        if replace(before, where=where) != entry:
            raise DataError(f"{where}: {name!r} is listed before with other values, at {before.where}")
        skipped.append(Skipped(name, f"listed twice ({where})"))
    if "fold" in columns and not any(entry.part == "test" for entry in entries.values()):
        folds = sorted({int(row["fold"]) for _, row in rows})
        raise DataError(f"{path}: no video is in fold {split}; folds in it: {', '.join(map(str, folds))}")
    listed = tuple(entries.values())
    if not columns & {"split", "fold"}:
        listed = _with_test_part(listed)
    return _Listing(root, tuple(sorted({entry.label for entry in listed})), listed, tuple(skipped))


def _table_rows(path: Path) -> tuple[list[tuple[str, dict[str, str]]], set[str]]:
    expected = "expected the columns path,label and optionally group, and split (train, val, test) or fold (a number)"
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns = [(column or "").strip() for column in reader.fieldnames or ()]
            reader.fieldnames = columns
            unknown = [column for column in columns if column not in ("path", "label", "group", "split", "fold")]
            if not {"path", "label"} <= set(columns) or unknown or {"split", "fold"} <= set(columns):
                raise DataError(f"{path}:1: columns {','.join(columns) or 'none'}; {expected}")
            rows = []
            for row in reader:
                where = f"{path}:{reader.line_num}"
                if None in row or None in row.values():
                    raise DataError(f"{where}: not {len(columns)} values; {expected}")
                values = {column: value.strip() for column, value in row.items()}
                if not values["path"] or not values["label"]:
                    raise DataError(f"{where}: an empty path or label")
                rows.append((where, values))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a csv file in UTF-8 ({error})") from None
    if not rows:
        raise DataError(f"{path}: no rows; {expected}")
    return rows, set(columns)


def _name_below(root: Path, text: str, where: str) -> str:
    path = Path(text)
    if path.is_absolute() and path.is_relative_to(root):
        path = path.relative_to(root)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"{where}: {text!r} is not below {root}; paths are relative to it")
    return path.as_posix()


def _table_part(row: dict[str, str], split: int, where: str) -> str:
    if "split" in row:
        parts = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}
        if row["split"].lower() not in parts:
            raise DataError(f"{where}: split {row['split']!r}; valid: {', '.join(parts)}")
        return parts[row["split"].lower()]
    if "fold" in row:
        if re.fullmatch(r"-?\d+", row["fold"]) is None:
            raise DataError(f"{where}: fold {row['fold']!r}; valid: a whole number")
        return "test" if int(row["fold"]) == split else "train"
    return "train"


def _with_test_part(entries: Sequence[_Entry]) -> tuple[_Entry, ...]:
    """The entries with a fifth of each class's groups as test part, chosen by hash so that the choice never moves."""
    test = _hold_out([(entry.label, entry.group) for entry in entries], 0.2, rank=lambda group: _rank(f"test {group}"))
    return tuple(replace(entry, part="test") if entry.group in test else entry for entry in entries)


def _video_files(root: Path) -> list[str]:
    files = (path for path in root.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())
    return sorted(path.relative_to(root).as_posix() for path in files)


LAYOUTS: dict[str, Callable[[Path, Path | None, int], _Listing]] = {
    "ucf101": _ucf101,
    "folder": _folder,
}
