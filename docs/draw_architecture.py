"""Draws docs/architecture.svg from the imports of the code: rooms by floor, an arrow for each room that another one imports.

Arrows that other arrows imply are faint.

    python docs/draw_architecture.py

A room is a folder or module of trainables, and each of the other packages, less what reports read of them. It stands one floor
above the highest room that it imports. Imports inside functions count; names in the registry (trainables/settings/registry.py),
which are imported when asked for, do not.
"""

from __future__ import annotations

import functools
from pathlib import Path

import grimp
import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("reports", "harness", "search_spaces", "trainables")
INSIDE = "trainables"
"""The package that is shown by what is in it."""
APART = ("harness.identity", "harness.ledger", "search_spaces.papers")
"""Modules of other packages that are rooms of their own: reports stand on them."""
COLOURS = {"reports": "#CC79A7", "harness": "#D55E00", "search_spaces": "#E69F00", "trainables": "#0072B2"}
WIDTH, HEIGHT, ROOM, TALL = 11.0, 1.0, 1.9, 0.5
"""Inches: of the picture, from floor to floor, and of a room."""


def room(module: str) -> str:
    """`trainables.stages` for `trainables.stages.work`, `harness` for `harness.planner`."""
    if module in APART:
        return module
    parts = module.split(".")
    return ".".join(parts[: 2 if parts[0] == INSIDE else 1])


def arrows() -> dict[str, set[str]]:
    """Room -> the rooms that it imports."""
    graph = grimp.build_graph(*PACKAGES)
    found: dict[str, set[str]] = {room(module): set() for module in graph.modules if module != INSIDE}
    for module in graph.modules - {INSIDE}:
        targets = map(room, graph.find_modules_directly_imported_by(module))
        found[room(module)] |= {target for target in targets if target not in (INSIDE, room(module))}
    return found


def floors(imports: dict[str, set[str]]) -> dict[str, int]:
    """Room -> its floor, from 0. Raises RecursionError where rooms import each other in a circle."""

    @functools.cache
    def floor(name: str) -> int:
        return 1 + max((floor(target) for target in imports[name]), default=-1)

    return {name: floor(name) for name in sorted(imports)}


def implied(imports: dict[str, set[str]], name: str, target: str) -> bool:
    """Whether `target` is also reached through another import of `name`."""
    seen, waiting = set[str](), [other for other in imports[name] if other != target]
    while waiting:
        other = waiting.pop()
        if other == target:
            return True
        if other not in seen:
            seen.add(other)
            waiting += imports[other]
    return False


def size(name: str) -> str:
    """Files and lines of a room."""
    path = ROOT / name.replace(".", "/")
    files = [*path.rglob("*.py")] if path.is_dir() else [path.with_suffix(".py")]
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
    return f"{len(files)} files, {lines} lines" if len(files) > 1 else f"{lines} lines"


def draw(path: Path) -> None:
    """Write the picture; the same code gives the same bytes."""
    imports = arrows()
    level = floors(imports)
    rows = [[name for name in level if level[name] == number] for number in range(max(level.values()) + 1)]
    centre = {
        name: ((place + 0.5) * WIDTH / len(row), HEIGHT * (number + 0.5))
        for number, row in enumerate(rows)
        for place, name in enumerate(row)
    }
    with mpl.rc_context({"svg.hashsalt": "auxgraph", "font.size": 8, "svg.fonttype": "none"}):
        figure = Figure(figsize=(WIDTH, HEIGHT * len(rows)))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, WIDTH)
        axes.set_ylim(0, HEIGHT * len(rows))
        axes.axis("off")
        for name, targets in sorted(imports.items()):
            for target in sorted(targets):
                (x, y), (to_x, to_y) = centre[name], centre[target]
                bend = 0.0 if level[name] - level[target] == 1 else 0.12 if to_x >= x else -0.12
                axes.add_patch(
                    FancyArrowPatch(
                        (x, y - TALL / 2),
                        (to_x, to_y + TALL / 2),
                        connectionstyle=f"arc3,rad={bend}",
                        arrowstyle="-|>",
                        mutation_scale=7,
                        linewidth=0.9,
                        color=COLOURS[name.partition(".")[0]],
                        alpha=0.15 if implied(imports, name, target) else 0.9,
                    )
                )
        for name, (x, y) in sorted(centre.items()):
            corner = (x - ROOM / 2, y - TALL / 2)
            box = FancyBboxPatch(
                corner,
                ROOM,
                TALL,
                "round,pad=0,rounding_size=0.06",
                facecolor="white",
                edgecolor=COLOURS[name.partition(".")[0]],
            )
            axes.add_patch(box)
            axes.text(x, y + 0.09, name.replace(".", "/"), ha="center", va="center", fontweight="bold")
            axes.text(x, y - 0.12, size(name), ha="center", va="center", fontsize=6.5)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    draw(Path(__file__).with_name("architecture.svg"))
