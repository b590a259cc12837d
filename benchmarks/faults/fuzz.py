"""Command lines and space files made at random, mostly wrong: none may end in a traceback, a signal or never.

Each case runs in a process of its own, forked from one in which everything is imported, by the installed command's entry
point. What would start trials is cut off where Ray would be started. A case that fails is printed with its words, its space's
file and its output.
"""

from __future__ import annotations

import functools
import importlib
import os
import random
import shlex
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults import forked
from benchmarks.faults.figure import Figure, command
from benchmarks.faults.vocabulary import NUMBERS, ODD, PARTS, RECORDS, SETTINGS, SETTINGS_LINES, SPACE, VALUES
from harness import command_line, executor
from trainables.presets import preset
from trainables.video.embedded import embedded_videos

ROUNDS, SHORT = 1000, 25
IMPORTED = ("harness.planner", "reports.backbones", "reports.figures", "reports.tables")
"""What a forked process would import each time."""
SECONDS = 600.0
"""After which a command that runs no trial counts as one that never ends. Planning with 8,000 embedded clips draws them, which
takes minutes and is said every half minute."""
EXIT_CODES = (0, 1, 2)
OPTIONS = {
    "--space": ("temperatures", "recipes", "lambda", "graph", "mine.py", "nothing.py", ".", "search_spaces.recipes:SPACE"),
    "--table": ("auxskd/table2", "graph/table1", "auxskd/figure4-left", "auxskd/table9"),
    "--preset": ("demo", "small", "demos"),
    "--config": ("mine.yaml", "mine.yaml", "mine.py", "."),
    "--data": (".", "ucf101=.", "folder=.", "hmdb51=loop", "lists=mine.py", "nothing=."),
    "--splits": ("ucf101=.", "folder=mine.yaml", "lists=mine.py"),
    "--stand-in": ("ucf101=embedded", "kinetics100=ucf101", "embedded=embedded"),
    "--weights": ("alexnet=mine.py", "alexnet=.", "vgg=mine.py"),
    "--search": ("tpe", "random", "grid", "grid", "best"),
    "--trials": ("1", "3", "100"),
    "--seeds": ("1", "2", "50"),
    "--name": ("a", "a", "store", "cache", "a b", ".hidden"),
    "--runs-dir": ("runs", "mine.py", "loop", "new/er"),
    "--store": ("runs/store", "mine.py", "loop"),
    "--cache-gb": ("0", "1", "0.5"),
    "--concurrency": ("1", "4", "100000"),
    "--gpus-per-trial": ("0", "1", "0.5"),
    "--workers": ("0", "2", "100000"),
    "--save-every": ("1", "60"),
    "--address": ("nonsense", "a:b:c", "[::1", "127.0.0.1:1"),
    "--code": ("auto", "same", "any"),
    "--settings": ("auxskd", "no"),
    "--wandb": ("disabled", "online"),
}
FLAGS = (*["--plan"] * 8, *["--json"] * 2, "--list", "--version", "--repair", "--retry-failed")
REPORTS = {
    "tables": "auxskd/table2 graph/table1 --list --settings --format md html --out out --sweep a",
    "figures": "auxskd/figure4-left --list --format svg --out out --sweep a --store runs",
    "backbones": "--format csv --out out.md --sweep a --runs-dir runs",
    "store list": "runs/store runs mine.py loop",
    "store show": "runs/store abc finetune",
    "store verify": "runs/store mine.py",
    "store prune": "runs/store --unreferenced --older-than 3 --sweep a --keep-best 2 --damaged --yes",
}
"""By command the words that are right in it somewhere."""
RANGES = ("1:2", "2:1", "0.1:", "1,2", "a,b", "1:2:3", "nan:1", *NUMBERS)


@dataclass(frozen=True)
class Case:
    """A command line, and the files that it may name, by path."""

    words: tuple[str, ...]
    files: dict[str, bytes]


def make_case(chance: random.Random) -> Case:
    """A command line that may be right, of which some is wrong."""
    words = _report(chance) if chance.random() < 0.15 else _sweep(chance)
    if chance.random() < 0.05:
        words.insert(chance.randrange(len(words) + 1), chance.choice(ODD))
    files = {"mine.py": _space_file(chance), "mine.yaml": _settings_file(chance)}
    if chance.random() < 0.3:
        files |= {f"runs/a/{name}": _lines(chance, RECORDS) for name in ("ledger.jsonl", "sweep.json")}
    return Case(tuple(words), files)


def _sweep(chance: random.Random) -> list[str]:
    words = ["sweep"]
    if chance.random() < 0.9:
        words += ["--space", chance.choice(("mine.py", "mine.py", "mine.py", "temperatures"))]
    for option in chance.sample([*OPTIONS, "--set", "--set", "--range"], chance.choice((0, 0, 1, 1, 2, 3))):
        if option == "--set":
            value = f"{_word(chance, SETTINGS)}={chance.choice((*VALUES, *NUMBERS, *ODD))}"
        elif option == "--range":
            value = f"{_word(chance, SETTINGS)}={_word(chance, RANGES)}"
        else:
            value = _word(chance, OPTIONS[option])
        words += [f"{option}={value}"] if chance.random() < 0.2 else [option, value]
    words += [chance.choice(FLAGS)] if chance.random() < 0.8 else []
    return words if "--wandb" in words else [*words, "--wandb", "disabled"]


def _report(chance: random.Random) -> list[str]:
    name = chance.choice(sorted(REPORTS))
    return [*name.split(), *(_word(chance, REPORTS[name].split()) for _ in range(chance.randrange(4)))]


def _word(chance: random.Random, right: Sequence[str]) -> str:
    return chance.choice(right if chance.random() < 0.75 else ODD)


def _space_file(chance: random.Random) -> bytes:
    parts = {name: ways[0] if chance.random() < 0.6 else chance.choice(ways) for name, ways in PARTS.items()}
    text = SPACE.format(**parts)
    if chance.random() < 0.1:  # damaged anywhere
        place = chance.randrange(len(text))
        text = text[:place] + chance.choice(ODD) + text[place + chance.randrange(20) :]
    return text.encode(errors="surrogateescape")


def _settings_file(chance: random.Random) -> bytes:
    assigned = [f"{chance.choice(SETTINGS)}: {chance.choice((*VALUES, *NUMBERS, *ODD))}" for _ in range(chance.randrange(3))]
    return "\n".join([*assigned, chance.choice(SETTINGS_LINES)]).encode(errors="surrogateescape")


def _lines(chance: random.Random, lines: tuple[str, ...]) -> bytes:
    return "\n".join(chance.sample(lines, chance.randrange(4))).encode("latin-1")


def run_case(case: Case, cache: Path) -> tuple[int, str]:
    """The exit code of a case, negative for a signal, and what was wrong with how it ended, or nothing.

    cache: one that has the embedded clips of preset demo.
    """
    with tempfile.TemporaryDirectory(prefix="auxgraph-fuzz-") as scratch:
        home, output = Path(scratch, "home"), Path(scratch, "output")
        (home / "runs").mkdir(parents=True)
        (home / "runs" / "cache").symlink_to(cache)
        code = forked.run(functools.partial(_run_command, case, home), output, SECONDS)
        said = output.read_text(errors="replace") if output.exists() else ""
    if "Traceback (most recent call last)" in said:
        return code, f"exit code {code} and a traceback:\n{said[-3000:]}"
    return code, "" if code in EXIT_CODES else f"exit code {code}:\n{said[-3000:]}"


def _run_command(case: Case, home: Path) -> int:
    """The command, in the forked process."""
    os.chdir(home)
    for name, content in case.files.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(content)
    Path("loop").symlink_to("loop")
    sys.argv = ["auxgraph", *(word.replace("\0", "") for word in case.words)]
    executor.run_trials = lambda *_, **__: None  # type: ignore[assignment]
    command_line.app()
    return 0


def run(rounds: int, seed: int) -> list[Figure]:
    """rounds: command lines."""
    for name in IMPORTED:
        importlib.import_module(name)
    wrong, codes = 0, Counter[int]()
    with tempfile.TemporaryDirectory(prefix="auxgraph-fuzz-") as cache:
        embedded_videos(preset("demo").data.embedded, Path(cache))
        for number in range(rounds):
            case = make_case(random.Random(f"{seed} {number}"))
            code, problem = run_case(case, Path(cache))
            codes[code] += 1
            if problem:
                wrong += 1
                space = case.files["mine.py"].decode(errors="replace")
                print(f"case {number}: {shlex.join(case.words)}\n{space}\n{problem}", flush=True)
    ended = ", ".join(f"{number} with exit code {code}" for code, number in sorted(codes.items()))
    seen = f"{wrong} of {rounds} ({ended})"
    what = "fuzzed command lines and space files that end in a traceback, a signal or never"
    return [Figure(what, seen, "0 of 1,000", wrong == 0, command("fuzz", rounds, seed))]
