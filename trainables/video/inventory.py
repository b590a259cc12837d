"""Which videos can be used: every one is probed once, and what was found is kept on disk.

`take_inventory(videos, directory)` fills in the number of frames of each video, its decoder, the hash of its content and a
digest of what it shows, and moves those that cannot be used to `skipped`, with the reason. Findings are kept in
`<directory>/inventory-<dataset>.json` by name. A file whose size and times (of its content and of its inode, which nobody
can set back) are the same is not read again; any other is hashed again, and probed only if its content differs, so a data
set that was moved or copied costs no decoding.
"""

import json
import os
import time
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from trainables.files import digest, write_atomically
from trainables.video.contents import Identity, content_hash, identity
from trainables.video.decoding import RULES, decoder_versions, probe
from trainables.video.frame_folders import image_left_out
from trainables.video.pixels import DecodingError
from trainables.video.videos import DataError, Skipped, Video, VideoSet, printable

_SAVE_EVERY = 60.0  # seconds between two writes at least: an interrupted inventory of a large dataset goes on from there
_GROWTH = 0.25  # of the time that it took so far, likewise: what is read for a day is written some thirty times


@dataclass(frozen=True)
class _Finding:
    """What reading a video of this identity gave: its content, and frames and decoder, or why it cannot be used.

    content: "" where it could not be read. shown: a digest of what it decodes to. left_out: an image in a directory of frames
    that is none of them.
    """

    bytes: int
    modified: int
    changed: int
    content: str
    frames: int
    decoder: str
    reason: str
    shown: str = ""
    left_out: str = ""


def take_inventory(videos: VideoSet, directory: Path, *, decoder: str = "pyav", supervised: bool = True) -> VideoSet:
    """The same set with `frames` and `decoder` filled in and the unusable videos moved to `skipped`.

    decoder: the one that is to read the videos of which it is exact; PyAV reads the others.

    Videos of one frame are skipped (nothing moves in them); short ones are not (samplers wrap). Raises DataError if there
    is no training video, or, for `supervised` use, none of some class, naming what was skipped of it.
    """
    everything = [*videos.train, *videos.validation, *videos.test]
    name = videos.dataset if decoder == "pyav" else f"{videos.dataset}-{decoder}"
    findings = _examine_all(everything, directory / f"inventory-{name}.json", decoder)
    skipped = [Skipped(video.name, findings[video.name].reason) for video in everything if findings[video.name].reason]

    def with_finding(video: Video) -> Video:
        found = findings[video.name]
        return replace(video, frames=found.frames, decoder=found.decoder, content=found.content, shown=found.shown)

    def usable(part: Sequence[Video]) -> tuple[Video, ...]:
        return tuple(with_finding(video) for video in part if not findings[video.name].reason)

    taken = replace(
        videos,
        train=usable(videos.train),
        validation=usable(videos.validation),
        test=usable(videos.test),
        skipped=(*videos.skipped, *skipped),
        notes=(*videos.notes, *_notes_on_images_left_out(findings[video.name].left_out for video in everything)),
    )
    if supervised or not taken.train:
        _check_classes(taken)
    return taken


def _notes_on_images_left_out(images: Iterable[str]) -> list[str]:
    left_out = [image for image in images if image]
    if not left_out:
        return []
    return [f"{len(left_out)} directories of frames hold other images, which are left out, such as {left_out[0]}"]


def _check_classes(videos: VideoSet) -> None:
    trained = {video.label for video in videos.train}
    without = [name for label, name in enumerate(videos.classes) if label not in trained]
    if without:
        reasons = "; ".join(f"{printable(item.name)}: {item.reason}" for item in videos.skipped[:3])
        raise DataError(
            f"{videos.dataset}: no training video of {len(without)} of {len(videos.classes)} classes: "
            f"{', '.join(map(printable, without[:5]))}. Listed and not on disk: {videos.missing}; "
            f"skipped: {len(videos.skipped)}{f' ({reasons})' if reasons else ''}"
        )


def _examine_all(videos: Sequence[Video], file: Path, decoder: str) -> dict[str, _Finding]:
    kept = _load(file, decoder)
    findings = dict(kept)
    installed = decoder_versions()
    began = saved = time.monotonic()
    with ThreadPoolExecutor(max_workers=min(8, max(2, os.cpu_count() or 1))) as pool:
        examined = pool.map(lambda video: _examine(video.path, decoder, kept.get(video.name), installed), videos)
        for video, finding in zip(videos, examined, strict=True):
            findings[video.name] = finding
            if _is_due(time.monotonic(), saved, began):
                _save(file, findings)
                saved = time.monotonic()
    if findings != kept:
        _save(file, findings)
    return findings


def _is_due(now: float, saved: float, began: float) -> bool:
    """Whether to write what is known, after the last time and the start."""
    return now - saved > max(_SAVE_EVERY, _GROWTH * (saved - began))


def _examine(path: Path, decoder: str, known: _Finding | None, installed: Collection[str]) -> _Finding:
    """What is known of a file where that still holds, else what reading it gives.

    Where no decoder is installed, a file of the same size is taken for the same.
    """
    there = _identity(path)
    if known is not None:
        if not installed and known.bytes == there.bytes:
            return known
        if known.content and (not known.decoder or (known.decoder in installed and known.shown)):
            if (known.bytes, known.modified, known.changed) == there:
                return known
            if known.content == _content(path):
                return replace(known, modified=there.modified, changed=there.changed, left_out=_left_out(path))
    content = _content(path)
    try:
        found = probe(path, decoder)
    except DecodingError as error:
        return _Finding(*there, content, 0, "", str(error))
    reason = "one frame" if found.frames < 2 else ""
    return _Finding(*there, content, found.frames, found.decoder, reason, found.shown, _left_out(path))


def _left_out(path: Path) -> str:
    try:
        return printable(image_left_out(path)) if path.is_dir() else ""
    except OSError:
        return ""


def _content(path: Path) -> str:
    try:
        return content_hash(path)
    except OSError:
        return ""


def _identity(path: Path) -> Identity:
    try:
        return identity(path)
    except OSError:
        return Identity(0, 0, 0)


def _load(file: Path, decoder: str) -> dict[str, _Finding]:
    """The findings kept in `file`; none where it is absent, damaged, or of other decoding rules. What decord once read, when it
    was asked for by nobody, PyAV reads."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["rules"] != RULES or content["digest"] != digest(content["videos"]):
            return {}
        findings = {name: _Finding(**finding) for name, finding in content["videos"].items()}
        if decoder == "pyav":
            return {name: replace(found, decoder=found.decoder and decoder) for name, found in findings.items()}
        return findings
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _save(file: Path, findings: dict[str, _Finding]) -> None:
    """Replace `file` in one step. A directory that cannot be written to costs probing again next time, nothing else."""
    videos = {name: asdict(findings[name]) for name in sorted(findings)}
    content = {"rules": RULES, "digest": digest(videos), "videos": videos}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(content, ensure_ascii=False, indent=0))
    except OSError:
        pass
