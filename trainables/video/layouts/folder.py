"""Any directory of videos: with a csv of `path[,label][,group][,split|fold]`, or one sub-folder per class, or neither.

Without labels (a csv without that column, or videos that lie in no sub-folder) all videos have the class "unlabelled"
and serve for pretraining; none are held out for testing, as nothing could be tested on them.
"""

import csv
import re
from dataclasses import replace
from pathlib import Path

from trainables.video.layouts.listing import (
    Entry,
    Layout,
    Listing,
    expect_apart,
    note_on_test_part,
    sort_out_missing,
    stem,
    video_files,
    with_test_part,
)
from trainables.video.layouts.texts import below, shown
from trainables.video.videos import EXTENSIONS, DataError, Skipped, without_extension

_UNLABELLED = "unlabelled"
_EXPECTED = (
    "expected the columns path,label (path alone for videos without labels) and optionally group, "
    "and split (train, val, test) or fold (a number)"
)


def read(root: Path, splits: Path | None, split: int) -> Listing:
    """The videos that the csv `splits` lists, or all below `root`. `split` is the test fold. Raises DataError."""
    if splits is None:
        return _every_video(root)
    if splits.is_dir():
        tables = sorted(splits.glob("*.csv"))
        if len(tables) != 1:
            raise DataError(f"{splits}: {len(tables)} csv files; give one with --splits folder=FILE.csv")
        splits = tables[0]
    if not splits.is_file():
        raise DataError(f"{splits}: no such file; expected a csv with the columns path,label[,group][,split|fold]")
    return _table(root, splits, split)


def lies_at(root: Path, splits: Path | None, sample: str | None) -> bool:
    """Whether there is any video."""
    return sample is not None


def _every_video(root: Path) -> Listing:
    names, skipped = video_files(root)
    if not names:
        raise DataError(
            f"{root}: no videos ({', '.join(EXTENSIONS)}, or directories of numbered images); expected one sub-folder per "
            "class, videos without labels, or a csv given with --splits folder=FILE.csv"
        )
    inside = [name for name in names if "/" in name]
    if not inside:
        entries = [Entry(name, _UNLABELLED, stem(name), "train", str(root)) for name in names]
        return Listing(root, (_UNLABELLED,), tuple(entries), skipped=tuple(skipped), labelled=False)
    skipped += [Skipped(name, "outside of the class folders") for name in names if "/" not in name]
    entries = [_of_class_folder(root, name) for name in inside]
    listed = with_test_part(entries)
    return Listing(root, _labels(entries), listed, skipped=tuple(skipped), notes=(note_on_test_part(listed),))


def _of_class_folder(root: Path, name: str) -> Entry:
    label = name.partition("/")[0]
    return Entry(name, label, f"{label}/{stem(name)}", "train", str(root))


def _labels(entries: list[Entry]) -> tuple[str, ...]:
    return tuple(sorted({entry.label for entry in entries}))


def _table(root: Path, path: Path, split: int) -> Listing:
    rows, columns = _rows(path)
    entries: dict[str, Entry] = {}
    skipped = []
    for where, row in rows:
        name = below(root, row["path"], where)
        label = row.get("label", _UNLABELLED)
        group = row.get("group") or without_extension(name)
        entry = Entry(name, label, group, _part(row, split, where), where)
        before = entries.setdefault(name, entry)
        if before is entry:
            continue
        if replace(before, where=where) != entry:
            raise DataError(f"{where}: {shown(name)} is listed before with other values, at {before.where}")
        skipped.append(Skipped(name, f"listed twice ({where})"))
    listed = list(entries.values())
    if "fold" in columns and not any(entry.part == "test" for entry in listed):
        folds = sorted({int(row["fold"]) for _, row in rows})
        raise DataError(f"{path}: no video is in fold {split}; folds in it: {', '.join(map(str, folds))}")
    labelled, notes = "label" in columns, []
    if labelled and not columns & {"split", "fold"}:
        listed = list(with_test_part(listed))
        notes = [note_on_test_part(listed)]
    if labelled:
        expect_apart(listed)
    present, missing = sort_out_missing(root, listed)
    return Listing(root, _labels(listed), present, missing, tuple(skipped), labelled, tuple(notes))


def _rows(path: Path) -> tuple[list[tuple[str, dict[str, str]]], set[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns = [(column or "").strip() for column in reader.fieldnames or ()]
            reader.fieldnames = columns
            unknown = [column for column in columns if column not in ("path", "label", "group", "split", "fold")]
            if "path" not in columns or unknown or {"split", "fold"} <= set(columns):
                raise DataError(f"{path}:1: columns {','.join(columns) or 'none'}; {_EXPECTED}")
            rows = []
            for row in reader:
                where = f"{path}:{reader.line_num}"
                if None in row or None in row.values():
                    raise DataError(f"{where}: not {len(columns)} values; {_EXPECTED}")
                values = {column: value.strip() for column, value in row.items()}
                if not values["path"] or not values.get("label", _UNLABELLED):
                    raise DataError(f"{where}: an empty path or label")
                rows.append((where, values))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a csv file in UTF-8 ({error})") from None
    if not rows:
        raise DataError(f"{path}: no rows; {_EXPECTED}")
    return rows, set(columns)


def _part(row: dict[str, str], split: int, where: str) -> str:
    if "split" in row:
        parts = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}
        if row["split"].lower() not in parts:
            raise DataError(f"{where}: split {shown(row['split'])}; valid: {', '.join(parts)}")
        return parts[row["split"].lower()]
    if "fold" in row:
        if re.fullmatch(r"-?\d{1,9}", row["fold"]) is None:
            raise DataError(f"{where}: fold {shown(row['fold'])}; valid: a whole number")
        return "test" if int(row["fold"]) == split else "train"
    return "train"


LAYOUT = Layout(read, lies_at)
