"""Diving48: `<vid_name>.mp4` anywhere below the root (`rgb/`), with the official annotations in JSON.

`Diving48_V2_train.json` and `Diving48_V2_test.json` (or those of the first version, without `V2`) list the clips: `vid_name`
names the video and `label` the class by its number in `Diving48_vocab.json`, where a class is take-off, somersaults,
twists and position. Clips are cut already, so `start_frame` and `end_frame` are all of them. A group is the video of the
competition, `vid_name` without its last number: `_8Vy3dlHg2w` of `_8Vy3dlHg2w_00000`.

Y. Li, Y. Li, N. Vasconcelos: RESOUND: Towards Action Recognition without Representation Bias. ECCV 2018.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from trainables.video.layouts.listing import Entry, Layout, Listing, find_annotations, list_folders, sort_out_by_stem
from trainables.video.layouts.texts import json_content, json_items, shown
from trainables.video.videos import DataError

_PREFIXES = ("Diving48_V2_", "Diving48_")
_VOCABULARY = "Diving48_vocab.json"
_PARTS = ("train", "test")


def read(root: Path, splits: Path | None, split: int) -> Listing:
    """The videos of the one official split. Raises DataError."""
    if split != 1:
        raise DataError(f"data.split {split}; Diving48 has one official split, so it is 1 there")
    place, prefix = _annotations(root, splits)
    classes = _classes(place / _VOCABULARY)
    listed = (
        Entry(f"rgb/{video}.mp4", label, re.sub(r"_\d+$", "", video), part, where)
        for part in _PARTS
        for where, video, label in _items(place / f"{prefix}{part}.json", classes)
    )
    return Listing(root, tuple(classes.values()), *sort_out_by_stem(root, listed))


def lies_at(root: Path, splits: Path | None, sample: str | None) -> bool:
    """Whether the official annotations are there."""
    return _found(root, splits) is not None


def _found(root: Path, splits: Path | None) -> tuple[Path, str] | None:
    """The directory of the annotations and what their names begin with."""
    return find_annotations(list_folders(root, splits), _PREFIXES, _PARTS)


def _annotations(root: Path, splits: Path | None) -> tuple[Path, str]:
    found = _found(root, splits)
    if found is None:
        searched = " or ".join(map(str, list_folders(root, splits)))
        raise DataError(
            f"no annotations of Diving48 in {searched}; expected Diving48_V2_train.json, Diving48_V2_test.json and "
            f"{_VOCABULARY}: give their directory with --splits diving48=DIR"
        )
    return found


def _classes(path: Path) -> dict[int, str]:
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected the classes of Diving48 beside its annotations")
    content = json_content(path)
    if not isinstance(content, list) or not content or not all(isinstance(words, list) and words for words in content):
        raise DataError(f'{path}: expected a list of classes, such as ["Back", "15som", "05Twis", "FREE"]')
    return {number: " ".join(map(str, words)) for number, words in enumerate(content)}


def _items(path: Path, classes: Mapping[int, str]) -> Iterator[tuple[str, str, str]]:
    """The place, name and class of each clip."""
    for where, item in json_items(path):
        video, label = (item.get("vid_name"), item.get("label")) if isinstance(item, dict) else (None, None)
        if type(label) is not int or re.fullmatch(r"[\w-]+", str(video)) is None:
            raise DataError(f'{where}: {shown(str(item))}; expected {{"vid_name": "_8Vy3dlHg2w_00000", "label": 32, ...}}')
        if label not in classes:
            raise DataError(f"{where}: label {label} of {video}; {_VOCABULARY} has classes 0 to {len(classes) - 1}")
        yield where, str(video), classes[label]


LAYOUT = Layout(read, lies_at, one_split=True)
