"""`auxgraph`: the project's commands under one name, for where it is installed; each is a script of its own, too.

A command is imported when it is called, so that none waits for what another needs; and those of `reports` are named as text,
as nothing in harness stands on reports.
"""

from __future__ import annotations

import importlib
import runpy
import sys
from importlib import metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

SCRIPTS = {
    "sweep": ("harness.sweep", "Sweep a search space, or continue or extend a sweep."),
    "status": ("harness.status", "Which sweeps run, are dead or have ended, and how far each trial is."),
    "replay": ("harness.replay", "One trial again from its record, and whether its numbers come out the same."),
    "export": ("harness.export", "A trained network on its own: weights, and a program that needs torch alone."),
    "predict": ("harness.predict", "What an exported network says videos show."),
    "features": ("harness.features", "Features of all videos of a directory, by an exported network."),
    "leaderboard": ("reports.sweep", "Which configuration of a sweep is best, and which cannot be told apart from it."),
    "page": ("reports.page", "A page to look at a sweep with, and one over all sweeps."),
    "compare": ("reports.compare", "Two sweeps, or two values of a setting, against each other."),
    "tables": ("reports.tables", "The papers' tables from the trials at hand, beside the published numbers."),
    "figures": ("reports.figures", "The papers' figures from the trials at hand."),
    "study": ("reports.study", "A sweep as an Optuna study, for optuna-dashboard."),
    "claims": ("reports.claims", "What the trials at hand say on the papers' claims."),
    "backbones": ("reports.backbones", "What the backbones are worth that trials have pretrained."),
}
"""By name the module, which has a typer `app` of one command, and what it is for."""


class Commands(TyperGroup):
    """Knows its commands by name and a sentence, until one is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name in SCRIPTS:
            command = typer.main.get_command(importlib.import_module(SCRIPTS[name][0]).app)
            sys.argv = [name, *rest]  # as the script has it
        return name, command, rest


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"auxgraph {metadata.version('auxgraph')}")
        raise typer.Exit


@app.callback()
def auxgraph(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="show the version and stop")
    ] = False,
) -> None:
    """Sweeps of self-supervised video representation learning and distillation, and the tables made of them."""


def _imported_when_called() -> None:
    """In the place of a script's command."""


for _name, (_, _summary) in SCRIPTS.items():
    app.command(_name, help=_summary)(_imported_when_called)


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def store(ctx: typer.Context) -> None:
    """What a store of finished stages holds."""
    sys.argv = ["store", *ctx.args]
    runpy.run_module("trainables.store", run_name="__main__", alter_sys=True)
