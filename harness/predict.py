"""What an exported network says videos show: the likeliest classes of each, with their scores.

    python harness/predict.py OUT first.mp4 second.avi
    python harness/predict.py OUT *.mp4 --out said.json

OUT is a directory that harness/export.py wrote. Exit codes: 0 all videos were read, 1 some were not, which are named, 2 wrong
usage, or none was read.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

if not __package__:  # run as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import typer

from harness.invocation import Invocation, told
from harness.request import RequestError
from harness.using import check_writable, model_at, opened

TOP = 5


class Format(StrEnum):
    csv = "csv"
    json = "json"


app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_show_locals=False)


@app.command(cls=Invocation)
def main(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="a directory that export.py wrote")],
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="files, or directories of frames")],
    top: Annotated[int, typer.Option(min=1, metavar="N", help="classes of each video")] = TOP,
    file_format: Annotated[Format | None, typer.Option("--format", help="default: the suffix of --out, or csv")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="a file to write, instead of the output")] = None,
) -> None:
    """Print the likeliest classes of videos, with the mean scores of clips spread evenly over each."""
    suffix = out.suffix.removeprefix(".") if out else "csv"
    if file_format is None and suffix not in list(Format):
        raise RequestError(f"--out {out}: the suffix says the format, one of {', '.join(Format)}; or give --format")
    network = model_at(model)
    if network.classes is None:
        raise RequestError(f"{model} gives features, and knows no classes: harness/features.py writes what it gives")
    if out is not None:
        check_writable(out)
    found, unread = opened(videos)

    from trainables.inference import scores

    with told("looking at the videos"):
        said = scores(network, found)
    best = said.topk(min(top, said.shape[1]), dim=1)
    rows = [
        (video.name, [(network.classes[number], float(value)) for number, value in zip(numbers, values, strict=True)])
        for video, numbers, values in zip(found, best.indices.tolist(), best.values, strict=True)
    ]
    text = {"csv": _csv, "json": _json}[file_format or suffix](rows)
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text, encoding="utf-8")
    raise typer.Exit(1 if unread else 0)


Rows = Sequence[tuple[str, Sequence[tuple[str, float]]]]
"""By video the classes with their scores, the best first."""


def _csv(rows: Rows) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("video", "rank", "class", "score"))
    for video, classes in rows:
        writer.writerows((video, rank, name, f"{score:.5f}") for rank, (name, score) in enumerate(classes, start=1))
    return text.getvalue()


def _json(rows: Rows) -> str:
    content: list[dict[str, Any]] = [
        {"video": video, "classes": [{"class": name, "score": round(score, 5)} for name, score in classes]}
        for video, classes in rows
    ]
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    app()
