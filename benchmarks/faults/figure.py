"""What a module of the suite gives: a property, the figure seen and the one asked for; and figures as a Markdown table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

HEAD = "| property | seen | asked | met | command |\n|---|---|---|---|---|"
MET = {True: "yes", False: "**no**", None: "not run"}


class NotHere(RuntimeError):
    """Something that a module needs is not to be had on this machine; the message says what."""


@dataclass(frozen=True)
class Figure:
    """met: whether `seen` is what is asked; None where it was not tried, and then `seen` says why. command: that gives it."""

    property: str
    seen: str
    asked: str
    met: bool | None
    command: str


def command(name: str, rounds: int, seed: int) -> str:
    """What to type for the figures of a module."""
    return f"python -m benchmarks.faults {name} --rounds {rounds} --seed {seed}"


def as_table(figures: Iterable[Figure]) -> str:
    """Markdown, a row per figure."""
    rows = (f"| {one.property} | {one.seen} | {one.asked} | {MET[one.met]} | `{one.command}` |" for one in figures)
    return "\n".join((HEAD, *rows))
