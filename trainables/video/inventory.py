"""Which videos can be used: every one is probed once, and what was found is kept on disk.

`take_inventory(videos, directory)` fills in the number of frames of each video, its decoder, the hash of its content and a
digest of what it shows, and moves those that cannot be used to `skipped`, with the reason. Findings are kept in
`<directory>/inventory-<dataset>.jsonl` by name (trainables/video/findings.py). A file whose size and times (of its content and
of its inode, which nobody can set back) are the same is not read again; any other is hashed again, and probed only if its
content differs, so a data set that was moved or copied costs no decoding.
"""

import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from trainables.video.contents import Identity, content_hash, identity
from trainables.video.decoding import Verify, decoder_versions, probe
from trainables.video.findings import Finding, add_findings, read_findings
from trainables.video.frame_folders import image_left_out
from trainables.video.pixels import DecodingError
from trainables.video.videos import DataError, Skipped, Video, VideoSet, printable

KEPT = "inventory-{}.jsonl"
"""Name of the file of findings of a data set."""
_SAVE_EVERY = 60.0  # seconds between two writes: an interrupted inventory of a large data set goes on from there
_TOGETHER = 512  # files that a thread looks at in a row


def take_inventory(
    videos: VideoSet, directory: Path, *, decoder: str = "pyav", verify: Verify = "frames", supervised: bool = True
) -> VideoSet:
    """The same set with `frames` and `decoder` filled in and the unusable videos moved to `skipped`.

    decoder: the one that is to read the videos of which it is exact; PyAV reads the others. verify: by what the number of
    frames is known, as of `probe`.

    Videos of one frame are skipped (nothing moves in them); short ones are not (samplers wrap). Raises DataError if there
    is no training video, or, for `supervised` use, none of some class, naming what was skipped of it.
    """
    everything = [*videos.train, *videos.validation, *videos.test]
    how = [part for part in (decoder, verify) if part not in ("pyav", "frames")]
    file = directory / KEPT.format("-".join([videos.dataset, *how]))
    findings = _examine_all(everything, file, decoder, verify)
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
        check_classes(taken)
    return taken


def _notes_on_images_left_out(images: Iterable[str]) -> list[str]:
    left_out = [image for image in images if image]
    if not left_out:
        return []
    return [f"{len(left_out)} directories of frames hold other images, which are left out, such as {left_out[0]}"]


def check_classes(videos: VideoSet) -> None:
    """Raises DataError where a class has no training video."""
    trained = {video.label for video in videos.train}
    without = [name for label, name in enumerate(videos.classes) if label not in trained]
    if without:
        reasons = "; ".join(f"{printable(item.name)}: {item.reason}" for item in videos.skipped[:3])
        raise DataError(
            f"{videos.dataset}: no training video of {len(without)} of {len(videos.classes)} classes: "
            f"{', '.join(map(printable, without[:5]))}. Listed and not on disk: {videos.missing}; "
            f"skipped: {len(videos.skipped)}{f' ({reasons})' if reasons else ''}"
        )


def _examine_all(videos: Sequence[Video], file: Path, decoder: str, verify: Verify) -> dict[str, Finding]:
    findings = read_findings(file)
    installed = decoder_versions()
    parts = [videos[begin : begin + _TOGETHER] for begin in range(0, len(videos), _TOGETHER)]
    with ThreadPoolExecutor(max_workers=min(8, max(2, os.cpu_count() or 1))) as pool:
        changed = pool.map(lambda part: [one for one in part if not _holds(findings.get(one.name), one.path, installed)], parts)
        unknown = [video for part in changed for video in part]
        examined = pool.map(lambda one: _examine(one.path, decoder, verify, findings.get(one.name), installed), unknown)
        new: dict[str, Finding] = {}
        saved = time.monotonic()
        for video, finding in zip(unknown, examined, strict=True):
            new[video.name] = finding
            if time.monotonic() - saved > _SAVE_EVERY:
                _keep(file, new, findings)
                saved, new = time.monotonic(), {}
        _keep(file, new, findings)
    return findings


def _keep(file: Path, new: Mapping[str, Finding], findings: dict[str, Finding]) -> None:
    """Take new findings in, and write down those that are others than before."""
    add_findings(file, {name: found for name, found in new.items() if findings.get(name) != found})
    findings.update(new)


def _holds(known: Finding | None, path: Path, installed: Collection[str]) -> bool:
    """Whether a file is as it was. Where no decoder is installed, one of the same size is taken for the same."""
    if known is None or not (_serves(known, installed) if installed else True):
        return False
    there = _identity(path)
    return known.identity == there if installed else known.bytes == there.bytes


def _serves(known: Finding, installed: Collection[str]) -> bool:
    """Whether what was found of a content is all that there is to know of it."""
    return bool(known.content) and (not known.decoder or known.decoder in installed)


def _examine(path: Path, decoder: str, verify: Verify, known: Finding | None, installed: Collection[str]) -> Finding:
    """What is known of a file's content where that is the same, else what reading it gives. Raises DecoderDied: what killed the
    decoder may pass, and processes that conclude otherwise would see other data sets."""
    there = _identity(path)
    content = _content(path)
    if known is not None and _serves(known, installed) and known.content == content:
        return known._replace(modified=there.modified, changed=there.changed, left_out=_left_out(path))
    try:
        found = probe(path, decoder, verify)
    except DecodingError as error:
        return Finding(*there, content, 0, "", str(error))
    reason = "one frame" if found.frames < 2 else ""
    return Finding(*there, content, found.frames, found.decoder, reason, found.shown, _left_out(path))


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
