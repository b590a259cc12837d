"""Features of all videos below a directory, by an exported network: what its last layer sees.

    python harness/features.py OUT videos
    python harness/features.py OUT videos --to features --clips 1

OUT is a directory that harness/export.py wrote. Writes `features.safetensors` with `features` (videos, clips, features), and
`features.csv`, which says which row is which video. Exit codes: 0 all videos were read, 1 some were not, which are named, 2
wrong usage, or none was read.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Annotated

if not __package__:  # run as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import typer

from harness.invocation import Invocation, console, told
from harness.request import RequestError
from harness.using import check_writable, model_at, opened

NAME = "features"

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_show_locals=False)


@app.command(cls=Invocation)
def main(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="a directory that export.py wrote")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="videos, also in directories in it")],
    to: Annotated[Path, typer.Option(metavar="DIR", help="where the two files are written")] = Path(),
    clips: Annotated[int | None, typer.Option(min=1, metavar="N", help="of a video; default: as for a linear probe")] = None,
) -> None:
    """Write the features of videos: a file of safetensors, and a csv of which row is which."""
    network = model_at(model)
    if not directory.is_dir():
        raise RequestError(f"{directory}: there is no such directory")

    from safetensors.torch import save_file

    from trainables.inference import features, videos_below

    paths = videos_below(directory)
    if not paths:
        raise RequestError(f"{directory}: there is no video in it")
    files = [to / f"{NAME}.safetensors", to / f"{NAME}.csv"]
    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"--to {to}: {error.strerror}") from None
    for file in files:
        check_writable(file)
    found, unread = opened(paths)
    with told("looking at the videos"):
        seen = features(network, found, clips)
    save_file({NAME: seen.contiguous()}, files[0])
    with files[1].open("w", encoding="utf-8", newline="") as table:
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(("row", "video"))
        writer.writerows((row, video.path.relative_to(directory).as_posix()) for row, video in enumerate(found))
    console.print(f"{files[0]}: {' x '.join(map(str, seen.shape))}", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(1 if unread else 0)


if __name__ == "__main__":
    app()
