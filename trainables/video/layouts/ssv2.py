"""Something-Something v2: `<id>.webm` anywhere below the root, with the official annotations in JSON.

`something-something-v2-labels.json`, `-train.json` and `-validation.json`, or `labels.json`, `train.json` and
`validation.json` as the newer release names them. Of an item in them, `id` names the video and `template`, without its
brackets, the class. Results are reported on the official validation videos, as the labels of the test videos were never
released: these are the test part, and validation is carved out of the training part. Each video is a group of its own.

R. Goyal et al.: The "something something" video database for learning and evaluating visual common sense. ICCV 2017.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from trainables.video.layouts.listing import Entry, Layout, Listing, find_annotations, list_folders, sort_out_by_stem
from trainables.video.layouts.texts import json_content, json_items, shown
from trainables.video.videos import DataError

_PREFIXES = ("something-something-v2-", "")
_PARTS = {"train": "train", "validation": "test"}


def read(root: Path, splits: Path | None, split: int) -> Listing:
    """The videos of the one official split. Raises DataError."""
    if split != 1:
        raise DataError(f"data.split {split}; Something-Something v2 has one official split, so it is 1 there")
    place, prefix = _annotations(root, splits)
    classes = _classes(place / f"{prefix}labels.json")
    listed = (
        Entry(f"{video}.webm", label, video, part, where)
        for official, part in _PARTS.items()
        for where, video, label in _items(place / f"{prefix}{official}.json", classes)
    )
    return Listing(root, classes, *sort_out_by_stem(root, listed))


def lies_at(root: Path, splits: Path | None, sample: str | None) -> bool:
    """Whether the official annotations are there; that a video is named by a number says little."""
    return _found(root, splits) is not None


def _found(root: Path, splits: Path | None) -> tuple[Path, str] | None:
    """The directory of the annotations and what their names begin with."""
    return find_annotations(list_folders(root, splits, "labels"), _PREFIXES, ("labels", *_PARTS))


def _annotations(root: Path, splits: Path | None) -> tuple[Path, str]:
    found = _found(root, splits)
    if found is None:
        searched = " or ".join(map(str, list_folders(root, splits, "labels")))
        raise DataError(
            f"no annotations of Something-Something v2 in {searched}; expected "
            "something-something-v2-labels.json, -train.json and -validation.json (or labels.json, train.json and "
            "validation.json): give their directory with --splits ssv2=DIR"
        )
    return found


def _classes(path: Path) -> tuple[str, ...]:
    content = json_content(path)
    if not isinstance(content, dict) or not content or not all(map(_is_number, content.values())):
        raise DataError(f'{path}: expected classes with their numbers, such as {{"Holding something": "0"}}')
    return tuple(sorted(content, key=lambda name: int(content[name])))


def _is_number(value: object) -> bool:
    return re.fullmatch(r"\d{1,9}", str(value)) is not None


def _items(path: Path, classes: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    """The place, id and class of each video."""
    known = set(classes)
    for where, item in json_items(path):
        video, template = (item.get("id"), item.get("template")) if isinstance(item, dict) else (None, None)
        if not isinstance(template, str) or re.fullmatch(r"\d+", str(video)) is None:
            raise DataError(f'{where}: {shown(str(item))}; expected {{"id": "78687", "template": "Holding [something]", ...}}')
        label = template.replace("[", "").replace("]", "")
        if label not in known:
            raise DataError(f"{where}: {shown(template)} is no class of labels.json")
        yield where, str(video), label


LAYOUT = Layout(read, lies_at, one_split=True)
