"""What a GPU makes of the methods at the papers' sizes: clips per second, over bare passes and plain code; MFU; memory.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --case auxskd --family r2plus1d --workers 12 --batches 50
    python benchmarks/gpu.py --case vspp --family r2plus1d --over cudnn_benchmark --over tf32 --over bfloat16
    python benchmarks/gpu.py --device cpu --preset demo --batches 2 --rounds 1

R(2+1)D-18 and R3D-18 at 16x112x112 (auxSKD, VSPP, finetuning) and the graphs' student at 224 with its teachers' bank, each in
float32 and bfloat16. A round of each is `--batches` batches:

- stage: what a trial does of each batch: sampling, cached frames, copies, augmentation, loss, update, metrics. Its ratio is
  that of its clips per second to those of *bare*: forward and backward passes on one batch that stays the same;
- plain: the same samples, network and loss in the form of released code (benchmarks/plain.py). Its ratio is to the stage in
  float32;
- MFU: the operations of a bare pass (convolutions and matrix products) over the stage's time, as a share of what a large
  product of matrices reaches on the same device in the same precision (float32: TF32);
- memory: the most that was held at once, of the GPU's memory, the weights of all sides among it.

With `--over` instead: the stage with one setting of `compute` (`every`: with each) over the stage without it (float32, cuDNN
without trials), by turns, each in a process of its own, as cuDNN remembers in one what it took before. A setting takes two
rounds for each one, and a start; compile and cuda_graphs some minutes more for each network.

Needs neither network, Ray, Optuna nor W&B. A machine without video decoders reads what another has prepared: the same command
there and here with `--cache DIR`, there with `--prepare`.
"""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
import typer
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.comparison import Figure, alternate, median_ratio, show, timed
from benchmarks.distillation_step import one_batch_of, students
from benchmarks.plain import plain_steps
from benchmarks.training import begin
from trainables.data import open_data
from trainables.models.device import wait_for
from trainables.models.kernels import kernels
from trainables.presets import configure
from trainables.runtime import Runtime, cores
from trainables.settings import ExperimentSettings, flat, parse_assignment, with_values
from trainables.stages.memory import most_held
from trainables.stages.training import make_optimiser, train_step
from trainables.stages.work import Means, Training, Work
from trainables.video.dataset import on_device

CASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "auxskd": ("auxskd", {"recipe": "auxskd_pretext"}),
    "vspp": ("pretext", {"recipe": "pretext", "pretext.task": "vspp"}),
    "finetune": ("finetune", {"recipe": "scratch"}),
}
"""Of a backbone: the stage, and what its experiment is."""
STUDENT = "student"
FAMILIES = ("r2plus1d", "r3d")
PRECISIONS = ("float32", "bfloat16")
FEW = {"data.embedded.train": 2, "data.embedded.validation": 1, "data.embedded.test": 1}
PLAIN = {"compute.precision": "float32", "compute.channels_last": False}
WITHOUT = {"compute.precision": "float32", "compute.cudnn_benchmark": False}
OVER: Mapping[str, Mapping[str, Any]] = {
    "cudnn_benchmark": {"compute.cudnn_benchmark": True},
    "tf32": {"compute.tf32": "all"},
    "no_tf32": {"compute.tf32": "none"},
    "bfloat16": {"compute.precision": "bfloat16"},
    "contiguous": {"compute.channels_last": False},
    "fused": {"compute.fused": True},
    "deterministic": {"compute.deterministic": True},
    "compile": {"compute.compile": True},
    "cuda_graphs": {"compute.compile": True, "compute.cuda_graphs": True},
}
"""Settings that are compared with WITHOUT, by what they are called here."""
EVERY = "every"
SIDE_OF_PRODUCT = {"cuda": 8192, "cpu": 512}
PRODUCTS = 8
WARM_UP = 1


def main(
    cases: Annotated[list[str] | None, typer.Option("--case", help=f"repeatable; {', '.join([*CASES, STUDENT])}")] = None,
    families: Annotated[list[str] | None, typer.Option("--family", help=f"repeatable; {', '.join(FAMILIES)}")] = None,
    preset: Annotated[str, typer.Option(help="whose sizes; default: those of the papers")] = "paper",
    device: Annotated[str, typer.Option(help="cuda or cpu")] = "cuda",
    batches: Annotated[int, typer.Option(min=1, help="of an epoch, which is a round")] = 20,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    workers: Annotated[int | None, typer.Option(min=0, help="processes that load clips; default: all cores but one")] = None,
    over: Annotated[list[str] | None, typer.Option(help=f"repeatable; {EVERY}, or of {', '.join(OVER)}")] = None,
    set_values: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, any setting; repeatable")] = None,
    cache: Annotated[Path | None, typer.Option(help="keeps clips and decoded frames; default: a temporary directory")] = None,
    prepare: Annotated[bool, typer.Option("--prepare", help="fill --cache and stop")] = False,
) -> None:
    """Measure the methods on a GPU."""
    chosen = cases or [*CASES, STUDENT]
    if unknown := sorted(set(chosen) - {*CASES, STUDENT}):
        raise typer.BadParameter(f"--case {unknown[0]}: valid cases: {', '.join([*CASES, STUDENT])}")
    if unknown := sorted(set(over or []) - {*OVER, EVERY}):
        raise typer.BadParameter(f"--over {unknown[0]}: valid: {EVERY}, {', '.join(OVER)}")
    varied = list(OVER) if EVERY in (over or []) else over or []
    if prepare and cache is None:
        raise typer.BadParameter("--prepare fills a cache: say where with --cache DIR")
    if device == "cuda" and not torch.cuda.is_available() and not prepare:
        raise typer.BadParameter("--device cuda: torch sees no GPU here")
    given = dict(map(parse_assignment, set_values or []))
    loading = cores() - 1 if workers is None else workers
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="auxgraph-") as scratch:
        kept = (cache or Path(scratch) / "cache").absolute()
        runtime = Runtime(Path(scratch) / "store", kept, device="cpu" if prepare else device, workers=loading)
        for case in chosen:
            of_case = {} if case == STUDENT else dict(CASES[case][1])
            for family in families or FAMILIES if case != STUDENT else [""]:
                network = {"backbone.family": family, "backbone.depth": 18} if family else {"recipe": "distillation"}
                settings = configure(preset, {**FEW, **network, **of_case, **given})
                if case == STUDENT:
                    settings = with_values(settings, one_batch_of(settings))
                _fill(settings, runtime)
                if not prepare:
                    title = " ".join(filter(None, [family, case]))
                    measured = functools.partial(_over, over=varied) if varied else _figures
                    figures += measured(title, case, settings, runtime, batches, rounds)
    if not prepare:
        name = torch.cuda.get_device_name() if device == "cuda" else None
        show("gpu", f"{preset}, {device}, {rounds} rounds of {batches} batches", figures, torch=torch.__version__, gpu=name)


def _fill(settings: ExperimentSettings, runtime: Runtime) -> None:
    """Decode every video once, so that nothing is decoded while something is measured."""
    for videos in open_data(settings.data, runtime).values():
        size = (settings.video.height, settings.video.width)
        runtime.open_cache(settings.data.cache_format).fill((*videos.train, *videos.validation, *videos.test), size)


def _figures(
    title: str, case: str, settings: ExperimentSettings, runtime: Runtime, batches: int, rounds: int
) -> Iterator[Figure]:
    sides: dict[str, Callable[[], object]] = {}
    begun = {
        name: _begun(case, with_values(settings, changes), runtime, batches)
        for name, changes in {**{one: {"compute.precision": one} for one in PRECISIONS}, "plain": PLAIN}.items()
    }
    for precision in PRECISIONS:
        work = begun[precision][1]
        sides[f"{precision} bare"] = _as_asked(_bare(*begun[precision], batches), work)
        sides[f"{precision} stage"] = _as_asked(functools.partial(_stage, *begun[precision], batches), work)
    training, work = begun["plain"]
    sides["plain"] = functools.partial(plain_steps, training, work, batches)
    device, operations = work.device, batches * _operations(training, work)
    clips = _clips(training, batches)
    clocks = {side: timed(functools.partial(_finished, run, device)) for side, run in sides.items()}
    alternate(clocks, WARM_UP)
    memory = {side: _most(run, device) for side, run in sides.items()}
    seconds = alternate(clocks, rounds)
    for precision in PRECISIONS:
        stage, bare = seconds[f"{precision} stage"], seconds[f"{precision} bare"]
        yield Figure(f"{title}, {precision}: bare", clips / statistics.median(bare), "clips/s")
        yield Figure(f"{title}, {precision}: stage", clips / statistics.median(stage), "clips/s", median_ratio(bare, stage))
        share = operations / statistics.median(stage) / _roof(device, getattr(torch, precision))
        yield Figure(f"{title}, {precision}: MFU", share, "of the roof")
        yield Figure(f"{title}, {precision}: memory", memory[f"{precision} stage"] / 2**30, "GiB")
    ratio = median_ratio(seconds["float32 stage"], seconds["plain"])
    yield Figure(f"{title}: plain", clips / statistics.median(seconds["plain"]), "clips/s", ratio)
    yield Figure(f"{title}: plain, memory", memory["plain"] / 2**30, "GiB")


def _over(
    title: str, case: str, settings: ExperimentSettings, runtime: Runtime, batches: int, rounds: int, over: Sequence[str]
) -> Iterator[Figure]:
    without = with_values(settings, WITHOUT)

    def side(changes: Mapping[str, Any]) -> tuple[ProcessPoolExecutor, int, int]:
        process = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        asked = flat(with_values(without, changes))
        return process, *process.submit(_set_up, case, asked, runtime.as_config(), batches).result()

    usual, clips, most = side({})
    with usual:
        alone: list[float] = []
        for name in over:
            process, _, held = side(OVER[name])
            with process:
                clocks = {side: functools.partial(_seconds_of, one) for side, one in ((name, process), ("without", usual))}
                seconds = alternate(clocks, rounds)
            alone += seconds["without"]
            ratio = median_ratio(seconds["without"], seconds[name])
            yield Figure(f"{title}, {name}", clips / statistics.median(seconds[name]), "clips/s", ratio)
            yield Figure(f"{title}, {name}: memory", held / 2**30, "GiB", held / most)
        yield Figure(f"{title}, without", clips / statistics.median(alone), "clips/s")
        yield Figure(f"{title}, without: memory", most / 2**30, "GiB")


_sides: list[Callable[[], None]] = []
"""In a process of `_over`: a round of its side."""


def _set_up(case: str, asked: Mapping[str, Any], place: Mapping[str, Any], batches: int) -> tuple[int, int]:
    """Begin the side of a process. Returns clips of a round and the most bytes that one held."""
    runtime = Runtime.from_config(dict(place))
    runtime = replace(runtime, store=Path(tempfile.mkdtemp(dir=runtime.store.parent)))
    training, work = _begun(case, with_values(ExperimentSettings(), asked), runtime, batches)
    stage = _as_asked(functools.partial(_stage, training, work, batches), work)
    _sides.append(functools.partial(_finished, stage, work.device))
    for _ in range(WARM_UP):
        _sides[0]()
    return _clips(training, batches), _most(stage, work.device)


def _seconds_of(process: ProcessPoolExecutor) -> float:
    return process.submit(_seconds).result()


def _seconds() -> float:
    """Of a round; memory that torch keeps beside it is left to the other process."""
    seconds = timed(_sides[0])()
    torch.cuda.empty_cache()
    return seconds


def _as_asked(run: Callable[[], object], work: Work) -> Callable[[], None]:
    """The same with the kernels that a stage has."""

    def running() -> None:
        with kernels(work.settings.compute, work.device):
            run()

    return running


def _clips(training: Training, batches: int) -> int:
    """Of so many batches."""
    return int(batches * training.loader.batch_size * training.loader.dataset[0, 0]["pixels"].shape[0])


def _begun(case: str, settings: ExperimentSettings, runtime: Runtime, batches: int) -> tuple[Training, Work]:
    """What the stage would train, with epochs of so many batches (the student: of one), and what it was given."""
    if case == STUDENT:
        return students(settings, runtime)["bank"]
    stage, _ = CASES[case]
    videos = len(open_data(settings.data, runtime)["pretraining"].train)
    per_video = -(-batches * getattr(settings, stage).batch_size // videos)
    return begin(stage, with_values(settings, {f"{stage}.clips_per_video": per_video}), runtime)


def _bare(training: Training, work: Work, batches: int) -> Callable[[], None]:
    network, batch = training.network.train(), on_device(next(training.loader.epoch(0)), work.device)
    clips = training.clips(batch)

    def passes() -> None:
        for _ in range(batches):
            network.zero_grad(set_to_none=True)
            with work.autocast():
                loss, _ = training.step(clips, batch)
            loss.backward()  # type: ignore[no-untyped-call]

    return passes


def _stage(training: Training, work: Work, batches: int) -> None:
    training.network.train()
    weights = [one for one in training.network.parameters() if one.requires_grad]
    optimiser = make_optimiser(weights, training.optimisation, work.fuses)
    means = Means()
    epochs = itertools.chain.from_iterable(work.batches(training.loader, epoch) for epoch in itertools.count())
    for batch in itertools.islice(epochs, batches):
        loss, metrics = train_step(work, training, optimiser, batch)
        means.add({"loss": loss, **metrics})
    means.result()


def _finished(run: Callable[[], object], device: torch.device) -> None:
    run()
    wait_for(device)


def _operations(training: Training, work: Work) -> float:
    """Floating-point operations of a forward and backward pass on one batch."""
    batch = on_device(next(training.loader.epoch(0)), work.device)
    clips = training.clips(batch)
    training.step(clips, batch)  # a student's first step weighs its losses, which is not counted
    with FlopCounterMode(display=False) as counter, work.autocast():
        loss, _ = training.step(clips, batch)
        loss.backward()  # type: ignore[no-untyped-call]
    training.network.zero_grad(set_to_none=True)
    return float(counter.get_total_flops())


def _most(run: Callable[[], object], device: torch.device) -> int:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    run()
    return most_held(device)


def _roof(device: torch.device, precision: torch.dtype) -> float:
    """Operations per second of a large product of matrices."""
    side = SIDE_OF_PRODUCT[device.type]
    matrix = torch.randn(side, side, device=device, dtype=precision)
    precise = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")

    def multiply() -> None:
        for _ in range(PRODUCTS):
            matrix @ matrix
        wait_for(device)

    try:
        multiply()
        return PRODUCTS * 2 * side**3 / min(timed(multiply)() for _ in range(3))
    finally:
        torch.set_float32_matmul_precision(precise)


if __name__ == "__main__":
    typer.run(main)
