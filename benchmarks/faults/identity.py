"""The question changes and the results stay: code of a stage, a row of the space, the data at equal size, a stage's version.

A sweep completes, something changes, and `--plan` of the same command must name it, and plan no result of the old question for
the new one. Nothing may be named where only a comment has changed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults import sweeps
from benchmarks.faults.figure import Figure, NotHere, command
from benchmarks.faults.real import ROOT
from trainables.presets import configure
from trainables.video.embedded import embedded_videos

ROUNDS = SHORT = 4
PACKAGES = ("harness", "trainables", "search_spaces", "reports", "benchmarks")
STAGE = "trainables/stages/finetune.py"
ROW = 'Row("{label}", {{"finetune.epochs": {epochs}}}), '
SPACE = """
from search_spaces.space import Row, Space

SPACE = Space("mine", "mine", ({rows}), lambda trial: {{"finetune.epochs": trial.suggest_int("finetune.epochs", 1, 3)}})
"""
FEW = {**sweeps.SETTINGS, "recipe": "scratch", "evaluation.measures": "[finetune]"}
RUN = "import sys; from benchmarks.faults import sweeps; sys.exit(sweeps.here(sys.argv[1:])())"


def changed_code(home: Path) -> list[str]:
    """A statement more in a stage's file."""
    return _in_copy(home, lambda text: f"{text}\nCHANGED = True\n", r"results? of stage finetune by other code \(.*finetune")


def raised_version(home: Path) -> list[str]:
    """The version of a stage."""
    declared = re.compile(r'(KIND = Kind\("finetune", )(\d+)')
    raised = r"results? of stage finetune by its version \d+: not used"
    return _in_copy(home, lambda text: declared.sub(lambda found: f"{found[1]}{int(found[2]) + 1}", text), raised)


def _in_copy(home: Path, change: Callable[[str], str], named: str) -> list[str]:
    """What is wrong with the plan after a change in a copy of the repository."""
    if shutil.which("git") is None:
        raise NotHere("needs git, which tells files that were edited")
    copy, runs = home / "copy", home / "runs"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    author = ("-c", "user.name=a", "-c", "user.email=a")
    for words in (("init", "-q"), ("add", "."), (*author, "commit", "-q", "-m", "a")):
        subprocess.run(["git", *words], cwd=copy, check=True)
    arguments = sweeps.words(runs, settings=FEW)

    def said(*options: str) -> str:
        words = [sys.executable, "-c", RUN, *arguments, *options]
        done = subprocess.run(words, cwd=copy, env=_environment(copy), capture_output=True, text=True, check=False)
        return " ".join(f"exit code {done.returncode}: {done.stdout} {done.stderr}".split())

    problems = []
    if not (first := said()).startswith("exit code 0"):
        problems.append(f"the sweep did not complete: {first}")
    file = copy / STAGE
    text = file.read_text(encoding="utf-8")
    file.write_text(f"# a comment\n{text}", encoding="utf-8")
    if re.search(r"results? of stage", same := said("--plan")):
        problems.append(f"after a comment: {same}")
    file.write_text(change(text), encoding="utf-8")
    if not re.search(named, plan := said("--plan")) or "0 to run" in plan:
        problems.append(f"not named: {plan}")
    return problems


def _environment(copy: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def added_row(home: Path) -> list[str]:
    """A row more in the space's file."""
    file, rows = home / "mine.py", [ROW.format(label=f"{epochs} epochs", epochs=epochs) for epochs in (1, 2, 3)]
    settings = {name: value for name, value in FEW.items() if name != "finetune.epochs"}
    arguments = sweeps.words(home / "runs", "--trials", "2", space=str(file), settings=settings)
    file.write_text(SPACE.format(rows="".join(rows[:2])), encoding="utf-8")
    problems = _completed(arguments, home)
    file.write_text(SPACE.format(rows="".join(rows)), encoding="utf-8")
    return problems + _named([*arguments, "--plan"], home, "new in the space: 3 epochs, at position 2")


def changed_data(home: Path) -> list[str]:
    """Bytes in the middle of a video, whose size stays."""
    values = {name: value for name, value in FEW.items() if name.startswith("data.embedded.")}
    clips = embedded_videos(configure("demo", {**values, "data.embedded.train": 4}).data.embedded, home / "clips")
    for video in clips.train:
        target = home / "videos" / clips.classes[video.label] / video.path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(video.path, target)
    settings = {name: value for name, value in FEW.items() if name not in values}
    arguments = sweeps.words(home / "runs", "--data", f"folder={home / 'videos'}", settings=settings)
    problems = _completed(arguments, home)
    video = sorted((home / "videos").rglob("*.mp4"))[0]
    content = bytearray(video.read_bytes())
    content[len(content) // 2] ^= 1
    video.write_bytes(content)
    return problems + _named([*arguments, "--plan"], home, r"data\.folder: \w+ then, \w+ now")


def _completed(arguments: list[str], home: Path) -> list[str]:
    ended = sweeps.sweep(arguments, home / "output")
    return [f"the sweep did not complete: {ended.said}"] if ended.code else []


def _named(arguments: list[str], home: Path, what: str) -> list[str]:
    said = " ".join(sweeps.sweep(arguments, home / "output").said.split())
    return [] if re.search(what, said) else [f"not named: {said}"]


CASES = {
    "changed code": changed_code,
    "row added": added_row,
    "data changed at equal size": changed_data,
    "version raised": raised_version,
}


def run(rounds: int, seed: int) -> list[Figure]:
    """rounds: cases, the first ones."""
    sweeps.prepare()
    wrong: list[str] = []
    tried = list(CASES.items())[:rounds]
    for name, case in tried:
        with tempfile.TemporaryDirectory(prefix="auxgraph-identity-") as scratch:
            problems = case(Path(scratch))
        print(f"{name}: {'; '.join(problems) or 'named'}", flush=True)
        wrong += [name] if problems else []
    seen = f"{len(tried) - len(wrong)} of {len(tried)}" + (f"; not: {', '.join(wrong)}" if wrong else "")
    return [Figure(f"{', '.join(CASES)}: named in `--plan`", seen, "4 of 4", not wrong, command("identity", rounds, seed))]
