"""What a data set costs before anything is trained: the first look at its videos, and planning when they are known.

    python benchmarks/first_contact.py
    AUXGRAPH_CLIPS=DIR python benchmarks/first_contact.py --videos 240000

*First look*: seconds of a process per video to hash it, and to find out how long it is: by decoding all of it, as inventories
did before; by its packets and three frames (`data.verify=frames`); by its packets and one (`packets`). Of the real clips in
DIR, or of embedded clips, and of one video as Kinetics has them (H.264, 300 frames of 340x256, a key frame in 250).

*Planning*: `harness/sweep.py --plan` of a listing as large as Kinetics-400, which `--videos` hard links to a few files make up
in a temporary directory, with csvs as the set's own; every video is known to the inventory, by a content of its own. Also of a
sixteenth and of a quarter of it: how the differences grow tells the exponent. Seconds of the process, and on the wall.

*Opening*: what a worker does with the largest of these before its first trial, by itself and handed on by the sweep's command.
"""

from __future__ import annotations

import functools
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

sys.path[0] = str(Path(__file__).resolve().parents[1])

import av
import numpy as np
import typer

from benchmarks.comparison import Figure, alternate, median_ratio, show, timed
from trainables.data import open_data
from trainables.runtime import Runtime
from trainables.settings import DataSettings, EmbeddedSettings
from trainables.video.contents import content_hash, identity
from trainables.video.decoding import Verify, probe
from trainables.video.embedded import embedded_videos
from trainables.video.findings import Finding, add_findings
from trainables.video.handed_on import OPEN_SETS
from trainables.video.inventory import KEPT
from trainables.video.sequence import sound_frames, timeline_of
from trainables.video.videos import DataSource

SWEEP = Path(__file__).resolve().parents[1] / "harness" / "sweep.py"
CLASSES = 400
TESTED = 12
"""One video in so many is of the official validation part."""
FILES = 16
"""Files that names are links to; a file system allows some 65,000 of one."""
PLANNED_SECONDS = 30.0
FEW_CLIPS = EmbeddedSettings(train=2, validation=1, test=1)


def main(
    videos: Annotated[int, typer.Option(min=16 * CLASSES, help="names in the listing")] = 240_000,
    files: Annotated[int, typer.Option(min=1, help="real clips that are looked at")] = 60,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Measure the first look at videos, and planning with many that are known."""
    with tempfile.TemporaryDirectory(prefix="auxgraph-") as scratch:
        place = Path(scratch)
        clips = _clips(place, files)
        figures = _first_look("clip", clips, rounds)
        figures += _first_look("video as of Kinetics", [_long_video(place / "long.mp4")], rounds)
        sizes = [videos // 16, videos // 4, videos]
        planned = [_planned(place / str(size), clips[0], size) for size in sizes]
        alone, handed = _opened(place / str(videos))
    figures += [
        Figure(f"planning, {size:,} videos", seconds, "s", seconds / PLANNED_SECONDS, at_most=1.0 if size == videos else None)
        for size, (seconds, _) in zip(sizes, planned, strict=True)
    ]
    figures.append(Figure("the last one on the wall", planned[-1][1], "s"))
    figures.append(Figure("opening, by itself", alone, "s"))
    figures.append(Figure("opening, handed on", handed, "s", handed / alone, at_most=0.25))
    few, some, many = (seconds for seconds, _ in planned)
    figures.append(Figure("exponent of growth", math.log((many - some) / (some - few), 4), ""))
    show("first contact", f"{len(clips)} clips, {videos:,} names; ratio of planning: to 30 s", figures)


def _clips(scratch: Path, most: int) -> list[Path]:
    if clips := os.environ.get("AUXGRAPH_CLIPS"):
        found = sorted(Path(clips).glob("UCF-101/*/*.avi"))
        return found[:: max(1, len(found) // most)][:most]
    return [video.path for video in embedded_videos(FEW_CLIPS, scratch).train][:most]


def _first_look(of: str, paths: Sequence[Path], rounds: int) -> list[Figure]:
    hashed = timed(lambda: [content_hash.__globals__["_of_file"](path) for path in paths], time.process_time)
    sides: dict[str, Callable[[], float]] = {"hash": hashed, "all of it": timed(lambda: _decoded(paths), time.process_time)}
    ways: tuple[Verify, ...] = ("frames", "packets")
    for verify in ways:
        sides[verify] = timed(functools.partial(_probed, paths, verify), time.process_time)
    seconds = alternate(sides, rounds)
    return [
        Figure(f"{of}: {name}", 1e3 * min(taken) / len(paths), "ms", median_ratio(taken, seconds["all of it"]))
        for name, taken in seconds.items()
    ]


def _decoded(paths: Sequence[Path]) -> None:
    timeline_of.__globals__["_timeline"].cache_clear()
    for path in paths:
        for _ in sound_frames(path, timeline_of(path), lambda place, frame: None):
            pass


def _probed(paths: Sequence[Path], verify: Verify) -> None:
    probe.__globals__["_probe"].cache_clear()
    for path in paths:
        probe(path, verify=verify)


def _long_video(path: Path) -> Path:
    """Noise that moves: as much to decode as a real video has."""
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, size=(32, 43, 3)).repeat(16, axis=0).repeat(16, axis=1).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "23"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 340, 256, "yuv420p", 250
        for time_ in range(300):
            shifted = np.roll(scene, (time_, 2 * time_), axis=(0, 1))[:256, :340]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(shifted), format="rgb24")))
        container.mux(stream.encode())
    return path


def _planned(home: Path, source: Path, size: int) -> tuple[float, float]:
    """Seconds of the process, and on the wall, of planning with so many videos that are known."""
    root = home / "kinetics400"
    root.mkdir(parents=True)
    files = [home / f"{number}{source.suffix}" for number in range(FILES)]
    for file in files:
        file.write_bytes(source.read_bytes())
    rows: dict[str, list[str]] = {"train": [], "val": []}
    names = []
    for number in range(size):
        label, part = f"class {number % CLASSES:03d}", "val" if number // CLASSES % TESTED == 0 else "train"
        name = f"{part}/{label}/{number:011d}_000000_000010{source.suffix}"
        if number < CLASSES * (TESTED + 1):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).hardlink_to(files[number % FILES])
        rows[part].append(f"{label},{number:011d},0,10,{'validate' if part == 'val' else part}\n")
        names.append(name)
    for part, lines in rows.items():
        (root / f"kinetics_{part}.csv").write_text("label,youtube_id,time_start,time_end,split\n" + "".join(lines))
    frames = probe(source).frames
    there = [identity(file) for file in files]
    found = {
        name: Finding(*there[number % FILES], f"{number:032x}", frames, "pyav", "", f"{number:032x}")
        for number, name in enumerate(names)
    }
    add_findings(home / "runs" / "cache" / KEPT.format("kinetics400"), found)
    sets = [f"data.{role}=kinetics400" for role in ("pretraining", "downstream")]
    arguments = ["--data", f"kinetics400={root}", *(word for one in sets for word in ("--set", one))]
    began = time.perf_counter()
    seconds = _seconds(lambda: _plan(home / "runs", arguments))
    return seconds, time.perf_counter() - began


def _opened(home: Path) -> tuple[float, float]:
    """Seconds of the process to open what was planned there and to ask for its fingerprint, by itself and handed on."""
    settings = DataSettings(pretraining="kinetics400", downstream="kinetics400")
    sources = (("kinetics400", DataSource(home / "kinetics400", None)),)
    runtime = Runtime(home / "store", home / "runs" / "cache", sources, device="cpu")
    found: list[str] = []

    def open_afresh() -> None:
        for known in ("_by_role", "_open"):
            open_data.__globals__[known].cache_clear()
        found.append(open_data(settings, runtime)["pretraining"].fingerprint())

    alone = timed(open_afresh, time.process_time)()
    OPEN_SETS.hand_on(home)
    handed = timed(open_afresh, time.process_time)()
    if found[0] != found[1]:
        raise RuntimeError(f"the set was {found[0]} and arrived as {found[1]}")
    return alone, handed


def _plan(runs: Path, arguments: Sequence[str]) -> None:
    command = [sys.executable, str(SWEEP), "--space", "temperatures", "--plan", "--json", "--runs-dir", str(runs), *arguments]
    plan = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    if not plan["stages_to_run"]:
        raise RuntimeError(f"nothing was planned: {plan}")


def _seconds(work: Callable[[], None]) -> float:
    """Seconds that processes started by `work` computed."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = used()
    work()
    return used() - before


if __name__ == "__main__":
    typer.run(main)
