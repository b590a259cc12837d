"""Kinetics-400 as the common downloaders lay it out: csvs of the official columns, and class folders.

The csvs are named `*train*.csv`, `*val*.csv` or `*test*.csv` and have the columns `label,youtube_id,time_start,time_end,
split`; what else they have is ignored. A clip is `<youtube_id>_<start>_<end>` (times in seconds, six digits) or
`<youtube_id>`, with any extension of a video, in a folder of its class anywhere below the root (`train/applying cream/`,
`videos_train/applying_cream/`), or in a folder of no class (`train/`). In names of classes `_` is a blank and case does not
count.

Results are reported on the official validation clips, so these are the test part; labelled test clips are it only
where no validation clips are listed. A group is a YouTube video. Without a csv the folders say it all: `train` and `val`
with class folders in them, or class folders alone.
"""

import csv
import functools
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainables.video.layouts.listing import (
    Entry,
    Layout,
    Listing,
    files_first,
    list_folders,
    note_on_test_part,
    stem,
    video_files,
    with_test_part,
    youtube_id,
)
from trainables.video.layouts.texts import shown
from trainables.video.videos import DataError, Skipped

_COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
_PARTS = {"train": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class Clip:
    """A clip as a list names it. `stem` is its file name without extension; `part` is "train", "val" or "test"."""

    label: str
    stem: str
    part: str
    where: str


def read(root: Path, splits: Path | None, split: int) -> Listing:
    """The videos of the one official split. Raises DataError."""
    expect_split(split)
    tables = find_tables(list_folders(root, splits))
    if tables:
        clips = read_tables(tables)
        return find_clips(root, clips, {clip.label for clip in clips}, tables)
    if splits is not None:
        raise DataError(
            f"no *train*.csv or *val*.csv in {splits}; expected the csvs of Kinetics, with the columns {','.join(_COLUMNS)}"
        )
    return read_folders(root)


def lies_at(root: Path, splits: Path | None, sample: str | None) -> bool:
    """Whether csvs of Kinetics are there, or the video `sample` is named as a clip with its times."""
    if sample is not None and re.search(r"(^|/)[\w-]{11}_\d{6}_\d{6}(\.\w+)?$", sample):
        return True
    return any(is_of_kinetics(table) for table in find_tables(list_folders(root, splits)))


def expect_split(split: int) -> None:
    """Raises DataError for any split but 1."""
    if split != 1:
        raise DataError(f"data.split {split}; Kinetics has one official split, so it is 1 there")


def find_tables(searched: Iterable[Path]) -> list[Path]:
    """The csvs of the first of the places that has any; a place may be a csv itself."""
    for place in searched:
        if place.is_file() and place.suffix == ".csv":
            return [place]
        found = [path for path in place.glob("*.csv") if re.match(r"(?!\.).*(train|val|test)", path.name.lower())]
        if found:
            return sorted(found)
    return []


def read_tables(tables: Sequence[Path]) -> list[Clip]:
    """The clips that csvs list. One of unlabelled test clips gives none. Raises DataError."""
    return [clip for table in tables for clip in _table(table)]


def _header(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return [column.strip() for column in next(csv.reader(file), [])]


def is_of_kinetics(table: Path) -> bool:
    """Whether a csv has the column of YouTube ids."""
    try:
        return "youtube_id" in _header(table)
    except (UnicodeDecodeError, csv.Error):
        return False


def _table(path: Path) -> list[Clip]:
    expected = f"expected the columns {','.join(_COLUMNS)}"
    clips = []
    try:
        columns = _header(path)
        if set(_COLUMNS) - set(columns) == {"label"} and "test" in path.name.lower():
            return []
        if not set(_COLUMNS) <= set(columns):
            raise DataError(f"{path}:1: columns {','.join(columns) or 'none'}; {expected}")
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, columns, strict=True)
            next(reader)
            for row in reader:
                where = f"{path}:{reader.line_num}"
                if None in row or None in row.values():
                    raise DataError(f"{where}: not {len(columns)} values; {expected}")
                clips.append(_clip({column: value.strip() for column, value in row.items()}, where))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a csv file in UTF-8 ({error})") from None
    if not clips:
        raise DataError(f"{path}: no rows; {expected}")
    return clips


def _clip(row: dict[str, str], where: str) -> Clip:
    if not row["label"] or not row["youtube_id"]:
        raise DataError(f"{where}: an empty label or youtube_id")
    for column in ("time_start", "time_end"):
        if re.fullmatch(r"\d{1,9}", row[column]) is None:
            raise DataError(f"{where}: {column} {shown(row[column])}; expected whole seconds")
    if row["split"].lower() not in _PARTS:
        raise DataError(f"{where}: split {shown(row['split'])}; valid: {', '.join(_PARTS)}")
    stem = f"{row['youtube_id']}_{int(row['time_start']):06d}_{int(row['time_end']):06d}"
    return Clip(class_name(row["label"]), stem, _PARTS[row["split"].lower()], where)


@functools.lru_cache(maxsize=4096)
def class_name(text: str) -> str:
    """The name of a class, however it is written: `Applying_cream` and `applying cream` are one."""
    return " ".join(text.replace("_", " ").split()).casefold()


def find_clips(root: Path, clips: Sequence[Clip], labels: Collection[str], lists: Sequence[Path]) -> Listing:
    """The clips, with the file of each below the root. `labels` are all classes that may have a folder there.

    Raises DataError if none of the clips, which are from `lists`, is for training.
    """
    held_out = "val" if any(clip.part == "val" for clip in clips) else "test"
    parts = {"train": "train", held_out: "test"}
    if not any(clip.part == "train" for clip in clips):
        raise DataError(f"no clip for training in {' or '.join(map(str, lists))}; expected a *train*.csv beside it")
    names, skipped = video_files(root)
    files: dict[str, list[str]] = {}
    for name in files_first(names):
        files.setdefault(stem(name), []).append(name)
    present: dict[str, Entry] = {}
    missing: dict[str, Entry] = {}
    for clip in clips:
        if clip.part not in parts:
            continue
        file = _file(clip, files, labels)
        name = file or f"{clip.label}/{clip.stem}.mp4"
        entry = Entry(name, clip.label, youtube_id(clip.stem), parts[clip.part], clip.where)
        before = (present if file else missing).setdefault(name, entry)
        if file and before is not entry:
            skipped.append(Skipped(name, f"listed twice ({clip.where})"))
    classes = tuple(sorted({clip.label for clip in clips}))
    return Listing(root, classes, tuple(present.values()), tuple(missing.values()), tuple(skipped))


def _file(clip: Clip, files: dict[str, list[str]], labels: Collection[str]) -> str | None:
    """The file of a clip: in a folder of its class, or else of no class. A folder of another class is not its."""
    for called in (clip.stem, youtube_id(clip.stem)):
        found = files.get(called, [])
        own = [name for name in found if _folder(name) == clip.label]
        unsorted = [name for name in found if _folder(name) not in labels]
        if own or unsorted:
            return (own or unsorted)[0]
    return None


def _folder(name: str) -> str:
    return class_name(name.rpartition("/")[0].rpartition("/")[2])


def read_folders(root: Path, only: Collection[str] | None = None) -> Listing:
    """The videos in class folders, in `train` and `val` (or `test`) or at the root; `only` of these classes.

    At the root, a fifth of each class is the test part. Raises DataError if there is none.
    """
    names, skipped = video_files(root)
    parts = {top: part for name in names if (part := _part_of_folder(top := name.partition("/")[0])) and top != name}
    held_out = "val" if "val" in parts.values() else "test"
    entries = []
    for name in names:
        top, _, rest = name.partition("/")
        part = parts.get(top)
        if parts and part not in ("train", held_out):
            continue
        folder, _, file = (rest if part else name).partition("/")
        label = class_name(folder)
        if not file:
            skipped.append(Skipped(name, "outside of the class folders"))
        elif only is None or label in only:
            entries.append(Entry(name, label, youtube_id(stem(name)), "test" if part == held_out else "train", str(root)))
    if not any(entry.part == "train" for entry in entries):
        raise DataError(
            f"{root}: no training videos in class folders; expected <class>/ or train/<class>/, or else the csvs of Kinetics "
            "(--splits NAME=DIR). For videos without labels use --data folder=DIR"
        )
    listed, notes = tuple(entries), []
    if not parts:
        listed = with_test_part(entries)
        notes = [note_on_test_part(listed)]
    classes = tuple(sorted({entry.label for entry in entries}))
    return Listing(root, classes, listed, skipped=tuple(skipped), notes=tuple(notes))


def _part_of_folder(name: str) -> str | None:
    """The part that a folder such as `train`, `videos_val` or `train_256` holds; None for a class or anything else."""
    words = re.split(r"[\W_]+", name.lower())
    return next((part for word, part in _PARTS.items() if word in words), None)


LAYOUT = Layout(read, lies_at, one_split=True)
