"""Which videos can be used: every file is probed once, and what was found is kept on disk.

`take_inventory(videos, directory)` fills in the number of frames of each video and its decoder, and moves those that
cannot be used to `skipped`, with the reason. Findings are kept in `<directory>/inventory-<dataset>.json` by name, size
and modification time, so a second run probes nothing but what is new.
"""

import json
import os
import threading
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from trainables.files import write_atomically
from trainables.video.decoding import RULES, DecodingError, decoder_versions, probe
from trainables.video.videos import DataError, Skipped, Video, VideoSet

_SAVE_EVERY = 500  # files probed between two writes: an interrupted inventory of a large dataset goes on from there


@dataclass(frozen=True)
class _Finding:
    """What probing a file of this size and modification time gave: frames and decoder, or why it cannot be used."""

    bytes: int
    modified: int
    frames: int
    decoder: str
    reason: str


def take_inventory(videos: VideoSet, directory: Path, *, supervised: bool = True) -> VideoSet:
    """The same set with `frames` and `decoder` filled in and the unusable videos moved to `skipped`.

    Videos of one frame are skipped (nothing moves in them); short ones are not (samplers wrap). Raises DataError if there
    is no training video, or, for `supervised` use, none of some class, naming what was skipped of it.
    """
    everything = [*videos.train, *videos.validation, *videos.test]
    findings = _probe_all(everything, directory / f"inventory-{videos.dataset}.json")
    skipped = [Skipped(video.name, findings[video.name].reason) for video in everything if findings[video.name].reason]

    def usable(part: Sequence[Video]) -> tuple[Video, ...]:
        return tuple(
            replace(video, frames=findings[video.name].frames, decoder=findings[video.name].decoder)
            for video in part
            if not findings[video.name].reason
        )

    taken = replace(
        videos,
        train=usable(videos.train),
        validation=usable(videos.validation),
        test=usable(videos.test),
        skipped=(*videos.skipped, *skipped),
    )
    if supervised or not taken.train:
        _check_classes(taken)
    return taken


def _check_classes(videos: VideoSet) -> None:
    trained = {video.label for video in videos.train}
    without = [name for label, name in enumerate(videos.classes) if label not in trained]
    if without:
        reasons = "; ".join(f"{item.name}: {item.reason}" for item in videos.skipped[:3])
        raise DataError(
            f"{videos.dataset}: no training video of {len(without)} of {len(videos.classes)} classes: "
            f"{', '.join(without[:5])}. Listed and not on disk: {videos.missing}; "
            f"skipped: {len(videos.skipped)}{f' ({reasons})' if reasons else ''}"
        )


def _probe_all(videos: Sequence[Video], file: Path) -> dict[str, _Finding]:
    kept = _load(file)
    findings: dict[str, _Finding] = {}
    new = []
    installed = decoder_versions()
    for video in videos:
        known = kept.get(video.name)
        if known is not None and _is_current(known, video.path, installed):
            findings[video.name] = known
        else:
            new.append(video)
    lock = threading.Lock()

    def examine(video: Video) -> None:
        finding = _examine(video.path)
        with lock:
            findings[video.name] = finding

    with ThreadPoolExecutor(max_workers=min(8, max(2, os.cpu_count() or 1))) as pool:
        for start in range(0, len(new), _SAVE_EVERY):
            list(pool.map(examine, new[start : start + _SAVE_EVERY]))
            _save(file, {**kept, **findings})
    return findings


def _examine(path: Path) -> _Finding:
    size, modified = _identity(path)
    try:
        found = probe(path)
    except DecodingError as error:
        return _Finding(size, modified, 0, "", str(error))
    return _Finding(size, modified, found.frames, found.decoder, "one frame" if found.frames < 2 else "")


def _is_current(finding: _Finding, path: Path, installed: Collection[str]) -> bool:
    """Whether a finding still holds. Where no decoder is installed, a file of the same size is taken for the same."""
    size, modified = _identity(path)
    if not installed:
        return finding.bytes == size
    same = (finding.bytes, finding.modified) == (size, modified)
    return same and (not finding.decoder or finding.decoder in installed)


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _load(file: Path) -> dict[str, _Finding]:
    """The findings kept in `file`; none where it is absent, damaged, or of other decoding rules."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["rules"] != RULES:
            return {}
        return {name: _Finding(**finding) for name, finding in content["videos"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _save(file: Path, findings: dict[str, _Finding]) -> None:
    """Replace `file` in one step. A directory that cannot be written to costs probing again next time, nothing else."""
    content = {"rules": RULES, "videos": {name: asdict(findings[name]) for name in sorted(findings)}}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(content, ensure_ascii=False, indent=0))
    except OSError:
        pass
