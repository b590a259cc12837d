"""The options of the sweep's command, of which its other commands have some: what each is called, may be, and means.

Of what they say nothing is looked up here: a command does that.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.samplers import SEARCHES
from search_spaces.paper_tables import table_ids
from search_spaces.space import space_names
from trainables.presets import PRESETS
from trainables.settings import BACKBONES, ENCODERS, LAYOUTS

MOST_AT_ONCE = 4096
WHAT, DATA, SEARCH, RUN, WATCH = "What is swept", "Data", "Search", "Run", "Watch"
"""Panels of the help."""


class CodeChoice(StrEnum):
    auto = "auto"
    same = "same"
    any = "any"


class SchedulerChoice(StrEnum):
    halving = "halving"


class WandbMode(StrEnum):
    auto = "auto"
    online = "online"
    offline = "offline"
    disabled = "disabled"


Space = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="search space: a name of --list, a file.py, or package.module:SPACE",
        autocompletion=space_names,
        rich_help_panel=WHAT,
    ),
]
Table = Annotated[
    str | None,
    typer.Option(
        metavar="ID",
        help="instead of a space: the rows of a paper's table or figure that are still missing",
        autocompletion=table_ids,
        rich_help_panel=WHAT,
    ),
]
Preset = Annotated[
    str,
    typer.Option(
        "--preset",
        metavar="NAME",
        help=f"size of everything: {', '.join(PRESETS)}",
        autocompletion=lambda: list(PRESETS),
        rich_help_panel=WHAT,
    ),
]
SetValues = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="any setting, e.g. finetune.epochs=5; what the space varies is pinned to the value; repeatable",
        rich_help_panel=WHAT,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="settings of a YAML file, nested or dotted; --set wins", rich_help_panel=WHAT),
]
Ranges = Annotated[
    list[str] | None,
    typer.Option(
        "--range",
        metavar="NAME=RANGE",
        help="within which the space varies a parameter: LOW:HIGH, or a,b,c of its choices; repeatable",
        rich_help_panel=WHAT,
    ),
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[NAME=]DIR",
        help=f"where a data set lies; NAME: {', '.join(LAYOUTS)}; repeatable",
        rich_help_panel=DATA,
    ),
]
Splits = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=PATH",
        help="its official split lists, or for folder a csv (path,label,...)",
        rich_help_panel=DATA,
    ),
]
StandIn = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=OTHER",
        help="the set (or `embedded`) that is read in a set's place; repeatable",
        rich_help_panel=DATA,
    ),
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NETWORK=FILE",
        help=f"what a network starts from: a file, what `export` made, an artifact's key or a trial; NETWORK: "
        f"{', '.join((*BACKBONES, *ENCODERS))}; repeatable",
        rich_help_panel=DATA,
    ),
]
Search = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"what proposes configurations after the paper's rows: {SEARCHES.valid}",
        autocompletion=lambda: list(SEARCHES),
        rich_help_panel=SEARCH,
    ),
]
Objectives = Annotated[
    list[str] | None,
    typer.Option(
        "--objective",
        metavar="METRIC[=DIRECTION]",
        help="by what a search goes instead of the space's own objective: validation/linear_probe_top1, hours=minimize; "
        "repeatable, the first one says which is best",
        rich_help_panel=SEARCH,
    ),
]
Trials = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="configurations in all, the paper's rows first", rich_help_panel=SEARCH),
]
Seeds = Annotated[int, typer.Option(min=1, metavar="N", help="seeds per configuration: 0 to N-1", rich_help_panel=SEARCH)]
Confirm = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="K",
        help="search with one seed, or as many as it had, then run the K best and the paper's rows with --seeds in all; with "
        "--budget with more where effects are undecided",
        rich_help_panel=SEARCH,
    ),
]
Scheduler = Annotated[
    SchedulerChoice | None,
    typer.Option(
        help="halving: configurations that a search proposes are trained up to a rung, and those among the best there go on to "
        "the next; the paper's rows always do; default: all are trained to their end",
        rich_help_panel=SEARCH,
    ),
]
RungsAt = Annotated[
    str | None,
    typer.Option(
        "--rungs",
        metavar="GROUP.epochs=E1,E2,...",
        help="with --scheduler halving: after how many epochs, the last those of a whole training: finetune.epochs=3,6,12",
        rich_help_panel=SEARCH,
    ),
]
Factor = Annotated[
    int | None,
    typer.Option(
        min=2, metavar="N", help="with --scheduler halving: of so many one goes on; default: 2", rich_help_panel=SEARCH
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        metavar="AMOUNT",
        help="what the sweep may take: 30m, 12h or 2d of this command's time, or '200 gpu-hours' (core-hours) of all its "
        "trials; none begins that would not end within it",
        rich_help_panel=RUN,
    ),
]
Name = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="of the sweep; default: made of space, preset, data and changes", rich_help_panel=RUN),
]
RunsDir = Annotated[Path, typer.Option(metavar="DIR", help="where sweeps are kept", rich_help_panel=RUN)]
Store = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="where finished stages are kept; default: store, in --runs-dir", rich_help_panel=RUN),
]
CacheGb = Annotated[
    float | None,
    typer.Option(min=0, metavar="GIB", help="bound of the cache of decoded frames; default: 8", rich_help_panel=RUN),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        min=1, max=MOST_AT_ONCE, metavar="N", help="trials at once; default: one per core or GPU", rich_help_panel=RUN
    ),
]
GpusPerTrial = Annotated[
    float | None, typer.Option(min=0, metavar="N", help="default: 1 with a GPU, else 0", rich_help_panel=RUN)
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="processes per trial that load clips; 0: the trial itself; default: 0, with a GPU one for each further core of "
        "the trial, at most 8",
        rich_help_panel=RUN,
    ),
]
SaveEvery = Annotated[
    float | None,
    typer.Option(
        min=1,
        metavar="SECONDS",
        help="how often training saves its state inside an epoch, so what a killed trial loses; default: 300",
        rich_help_panel=RUN,
    ),
]
DropStates = Annotated[
    bool,
    typer.Option(
        "--drop-states",
        help="finished stages keep nothing from which more epochs would go on, which is two to some three times their weights",
        rich_help_panel=RUN,
    ),
]
StageTimeout = Annotated[
    float | None,
    typer.Option(
        min=1,
        metavar="SECONDS",
        help="a stage that runs for longer is stopped and its trial fails; default: no limit",
        rich_help_panel=RUN,
    ),
]
TrialTimeout = Annotated[
    float | None,
    typer.Option(
        min=1,
        metavar="SECONDS",
        help="the same for all stages of a trial, without what it waits for other sweeps; default: no limit",
        rich_help_panel=RUN,
    ),
]
StallTimeout = Annotated[
    float | None,
    typer.Option(
        min=1,
        metavar="SECONDS",
        help="a stage that reports nothing for longer is stopped, goes on once from its last saved state, then fails; "
        "stages report about every 10 s; default: no limit",
        rich_help_panel=RUN,
    ),
]
OomHalvings = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="N",
        help="how often a trial that runs out of memory is tried again with its batches in twice as many parts "
        "(compute.accumulation)",
        rich_help_panel=RUN,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="of a Ray cluster whose nodes share --runs-dir, or auto; default: this machine",
        rich_help_panel=RUN,
    ),
]
Join = Annotated[
    bool,
    typer.Option(
        "--join",
        help="add workers to the sweep, which another process runs by the same command: they compute, it records",
        rich_help_panel=RUN,
    ),
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="run failed trials again", rich_help_panel=RUN)]
Code = Annotated[
    CodeChoice,
    typer.Option(
        help="which finished stages count if other code made them; auto: those of another commit or version, which is "
        "said, not those whose files were edited since",
        rich_help_panel=RUN,
    ),
]
Fresh = Annotated[
    list[str] | None,
    typer.Option(
        metavar="STAGE",
        help="make these stages, and what follows from them, afresh beside what is there; without it the sweep goes on "
        "with what was made last; repeatable",
        rich_help_panel=RUN,
    ),
]
Repair = Annotated[
    bool,
    typer.Option(
        "--repair",
        help="set aside damaged lines of ledgers below --runs-dir; what no other line tells of runs again",
        rich_help_panel=RUN,
    ),
]
Wandb = Annotated[WandbMode, typer.Option(help="auto: online when a key is configured, else offline", rich_help_panel=WATCH)]
Tensorboard = Annotated[
    bool,
    typer.Option("--tensorboard", help="write event files for TensorBoard below the sweep's directory", rich_help_panel=WATCH),
]
Plan = Annotated[
    bool,
    typer.Option(
        "--plan",
        help="show what would run and stop; writes nothing, but what it found out of thousands of videos",
        rich_help_panel=WATCH,
    ),
]
Report = Annotated[bool, typer.Option("--report", help="show what the sweep has found so far and stop", rich_help_panel=WATCH)]
Settings = Annotated[
    str | None,
    typer.Option(
        metavar="[PREFIX]",
        help="show the settings, or those whose names begin so, as they would be, and stop",
        rich_help_panel=WATCH,
    ),
]
ListSpaces = Annotated[bool, typer.Option("--list", help="show the search spaces and tables and stop", rich_help_panel=WATCH)]
PlanAsJson = Annotated[bool, typer.Option("--json", help="with --plan or --settings: as JSON", rich_help_panel=WATCH)]
Version = Annotated[bool, typer.Option("--version", help="show the version and stop", rich_help_panel=WATCH)]
