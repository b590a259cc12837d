"""Whether a task, a network or a data layout of yours keeps its contract; the package's own are held to the same checks.

    python -m trainables.checks task mine/rotation.py:Rotation
    python -m trainables.checks backbone mine/networks.py:Slow
    python -m trainables.checks layout mine/layouts.py:LAYOUT videos

In a test of yours: `check_task("rotation:Rotation")`. A search space has `check_space` in search_spaces/space.py.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainables.models import BACKBONE, Backbone, find_backbone, make_network
from trainables.models.device import on_device
from trainables.models.folding import folded
from trainables.models.weights import convolution_weights, load_convolutions
from trainables.settings import (
    BACKBONES,
    TASKS,
    BackboneSettings,
    ComputeSettings,
    ExperimentSettings,
    Readable,
    SettingsError,
    UndeclaredSetting,
    flat,
    names_below,
    setting_names,
    with_values,
)
from trainables.stages import auxskd, self_supervised
from trainables.tasks import SelfSupervisedTask, find_task
from trainables.tracebacks import own_frames
from trainables.video.layouts import assemble, find_layout
from trainables.video.sampling import SampledClips
from trainables.video.videos import PARTS, DataError, Video

LENGTHS = (1, 5, 16, 40, 100)
"""Frames of the videos that tasks are tried on."""
SAMPLES = 4
OF_BATCH = {"pixels", "flip", "jitter", "target", "wrapped", "replaced", "epoch", "index"}
"""What a batch holds beside a sampler's labels."""
SMALL: dict[str, Any] = {
    "video.clip_frames": 8,
    "video.height": 20,
    "video.width": 20,
    "video.crop": 16,
    "backbone.depth": 10,
    "backbone.width": 4,
    "vgg.channels": [4, 4, 6, 6, 6],
    "vgg.convolutions": [1, 1, 1, 1, 1],
    "vgg.pooled_layers": [2, 3],
    "vgg.conv1_filter": 3,
    "vgg.conv1_stride": 1,
    "vgg.cells": 1,
    "vgg.hidden": 8,
    "prednet.targets": [3, 4],
    "prednet.representations": [4, 6],
    "prednet.side": 8,
    "auxskd.memory_bank": 16,
    "rspnet.memory_bank": 16,
    "ego_motion.bins": 3,
}
"""Settings at which a check takes a second."""


class ContractError(AssertionError):
    """Something that does not keep its contract; the message says what it should do and what it does."""


def check_task(name: str, values: dict[str, Any] | None = None) -> None:
    """Raises ContractError, or SettingsError for a task that cannot be found, with settings `values` over small ones.

    Checked: settings in `reads` exist, and nothing else is read in sampling, network and loss; draws lie within videos of many
    lengths and depend on the generator only; two views; a loss with a gradient for the encoder, metrics with a value per
    sample, chance levels and baselines of metrics there are; evaluation changes nothing and gives the same with batch norms
    folded; the loss of a batch is the mean over its parts, or the task says that it `compares_samples`.
    """
    kind = find_task(name)
    settings = _with_task(name, kind, {**SMALL, **(values or {})})
    names = setting_names(settings)
    for prefix in (*kind.reads(settings), *kind.reads_for_views(settings)):
        _expect(bool(names_below(names, [prefix])), f"{name}: reads '{prefix}', which is no setting and no group of settings")
    _expect(kind.name.isidentifier(), f"{name}: its name '{kind.name}' is no identifier; settings and metrics bear it")
    task = kind(_limited(settings, self_supervised.kind_of(kind).reads(settings), kind), _tracks(kind, settings))
    _check_draws(name, task)
    if kind.encoder == BACKBONE:
        _check_views(name, kind(_limited(settings, auxskd.kind_of(kind).reads(settings), kind)))
    _check_network(name, task, settings)


def check_backbone(name: str) -> None:
    """Raises ContractError, or SettingsError for a network that cannot be found.

    Checked: features and logits have the announced size, layers in a row, averaged, are the network, it is drawn from torch's
    random numbers alone, its convolutions are handed on without the head, settings in `reads` exist, it reads no others, and
    it says the same in the form in which it is evaluated: with channels last, convolutions doing the work of batch norms.
    """
    kind = find_backbone(name)
    settings = with_values(ExperimentSettings(), {**SMALL, "backbone.family": name})
    for prefix in kind.reads(settings):
        _expect(bool(names_below(setting_names(), [prefix])), f"{name}: reads '{prefix}', which is no setting")
    clips = torch.randn(2, 3, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    names = frozenset(names_below(flat(settings), kind.reads(settings)))
    limited = settings.readable(Readable(names, name, f"`reads` of {kind.__module__}.{kind.__qualname__}")).backbone
    bare, classifier, again = (_drawn(kind, limited, classes) for classes in (None, 5, 5))
    same = all(torch.equal(value, again.state_dict()[key]) for key, value in classifier.state_dict().items())
    _expect(same, f"{name}: two networks drawn from the same random numbers differ")
    _shape(f"{name}: features", bare(clips), (2, bare.features))
    _shape(f"{name}: logits", classifier(clips), (2, 5))
    heads = [key for key in classifier.state_dict() if key not in bare.state_dict()]
    otherwise = [key for key in heads if not key.startswith("fc.")]
    _expect(bool(heads) and not otherwise, f"{name}: its last layer is called otherwise than `fc`: {', '.join(otherwise[:2])}")
    load_convolutions(bare, convolution_weights(classifier))
    inside = {id(parameter) for layer in bare.layers() for parameter in layer.parameters()}
    outside = [key for key, value in bare.named_parameters() if id(value) not in inside and not key.startswith("fc.")]
    _expect(not outside, f"{name}: parameters in no layer of layers(): {', '.join(outside[:3])}")
    maps = clips
    for layer in bare.eval().layers():
        maps = layer(maps)
    _expect(maps.dim() == 5, f"{name}: layers() in a row give {tuple(maps.shape)}, expected maps (B, C, T, H, W)")
    alike = torch.allclose(maps.mean((2, 3, 4)), bare(clips), atol=1e-5)
    _expect(alike, f"{name}: its features are not those of layers() in a row, averaged over space and time")
    quick = on_device(folded(bare), torch.device("cpu"), ComputeSettings(channels_last=True))
    alike = torch.allclose(quick(clips.contiguous(memory_format=torch.channels_last_3d)), bare(clips), atol=1e-4)
    _expect(alike, f"{name}: with channels last and batch norms folded into convolutions (folded()) its features are others")


def check_layout(name: str, root: Path, splits: Path | None = None) -> None:
    """Raises ContractError for a layout that does not read the data below `root` as it should, or what reading them raises.

    Checked: it recognises the data; entries have files, known parts and classes, no video twice and no group on both sides of
    training and test; reading twice gives the same.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such directory")
    layout = find_layout(name)
    listing = layout.read(root, splits, 1)
    _expect(layout.read(root, splits, 1) == listing, f"{name}: reading {root} twice gives two different listings")
    _expect(bool(listing.entries), f"{name}: no video in {root}")
    _expect(
        layout.lies_at(root, splits, listing.entries[0].name), f"{name}: lies_at() does not recognise {root}, which it reads"
    )
    named = [entry.name for entry in listing.entries]
    twice = sorted({one for one in named if named.count(one) > 1})
    _expect(not twice, f"{name}: a video is listed twice: {', '.join(twice[:3])}")
    for entry in listing.entries:
        _expect(entry.part in PARTS, f"{name}: {entry.name} is in part '{entry.part}'; valid: {', '.join(PARTS)}")
        _expect((listing.root / entry.name).exists(), f"{name}: {entry.name} is listed as present, and is not there")
        unknown = [label for label in (entry.label, *entry.others) if label and label not in listing.classes]
        _expect(not unknown, f"{name}: {entry.name} has the class {unknown}, which is not among the listing's classes")
    trained = {entry.group for entry in listing.entries if entry.part != "test"}
    both = trained & {entry.group for entry in listing.entries if entry.part == "test"}
    _expect(not both, f"{name}: the group {sorted(both)[:1]} is in training and in test")
    assemble(name, listing, validation_fraction=0.2)


def _expect(kept: bool, otherwise: str) -> None:
    if not kept:
        raise ContractError(otherwise)


def _shape(what: str, tensor: Tensor, expected: tuple[int, ...]) -> None:
    _expect(tuple(tensor.shape) == expected, f"{what} are {tuple(tensor.shape)}, expected {expected}")


def _drawn(kind: type[Backbone], settings: BackboneSettings, classes: int | None) -> Backbone:
    torch.manual_seed(0)
    return kind(settings, classes)


def _with_task(name: str, kind: type[SelfSupervisedTask], values: dict[str, Any]) -> ExperimentSettings:
    if kind.encoder == BACKBONE:
        return with_values(ExperimentSettings(), {**values, "pretext.task": name})
    needed = {"recipe": "fusion", "evaluation.measures": ["finetune"], "views.prednet_layer": 1, "teachers.tasks": name}
    return with_values(ExperimentSettings(), {**values, **needed})


def _limited(settings: ExperimentSettings, reads: tuple[str, ...], kind: type[SelfSupervisedTask]) -> ExperimentSettings:
    where = f"`reads` or `reads_for_views` of {kind.__module__}.{kind.__qualname__}"
    return settings.readable(Readable(frozenset(names_below(flat(settings), reads)), kind.name, where))


def _video(frames: int, name: str = "a.avi") -> Video:
    return Video(name, Path(name), 0, name, frames)


def _tracks(kind: type[SelfSupervisedTask], settings: ExperimentSettings) -> dict[str, np.ndarray] | None:
    """A track from the first frame to the fourth."""
    return {"a.avi": np.array([[0, 3, 1, 2, 9, 9, 4, 3, 9, 9]], dtype=np.int32)} if kind.needs_tracks(settings) else None


def _check_draws(name: str, task: SelfSupervisedTask) -> None:
    usable = [frames for frames in LENGTHS if task.usable(_video(frames))]
    _expect(bool(usable), f"{name}: no video of {', '.join(map(str, LENGTHS))} frames is usable; it {task.needs}")
    for frames in usable:
        for seed in range(5):
            _check_draw(name, task.sample, frames, seed)
    drawn = [task.sample(_video(frames), np.random.default_rng(seed)) for frames in usable for seed in range(5)]
    shapes = {one.indices.shape for one in drawn}
    _expect(len(shapes) == 1, f"{name}: samples have different numbers of clips or frames: {sorted(shapes)}")
    labels = {frozenset(one.labels) for one in drawn}
    _expect(len(labels) == 1, f"{name}: samples have different labels: {sorted(map(sorted, labels))}")
    taken = sorted(OF_BATCH & drawn[0].labels.keys())
    _expect(not taken, f"{name}: a label called {', '.join(taken)}, as something else in a batch is")


def _check_views(name: str, task: SelfSupervisedTask) -> None:
    for frames in LENGTHS:
        for seed in range(5):
            views = _check_draw(f"{name}: views", task.views, frames, seed)
            _expect(len(views.indices) == 2, f"{name}: {len(views.indices)} views, expected 2")


def _check_draw(name: str, draw: Callable[[Video, np.random.Generator], SampledClips], frames: int, seed: int) -> SampledClips:
    first, second = (draw(_video(frames), np.random.default_rng(seed)) for _ in range(2))
    _expect(first.indices.tolist() == second.indices.tolist(), f"{name}: draws do not depend on the generator alone")
    _expect(first.labels == second.labels, f"{name}: labels do not depend on the generator alone")
    indices = first.indices
    _expect(indices.ndim == 2 and indices.dtype == np.int64, f"{name}: indices {indices.dtype} {indices.shape}; int64 (V, K)")
    inside = indices.min() >= 0 and indices.max() < frames
    _expect(inside, f"{name}: frames {indices.min()} to {indices.max()} of a video of {frames} frames")
    for what in ("changes", "windows", "transforms"):
        values = getattr(first, what)
        _expect(
            values is None or len(values) == len(indices), f"{name}: {what} of {values and len(values)} of {len(indices)} clips"
        )
    pixels = np.arange(2 * 6 * 6 * 3, dtype=np.uint8).reshape(2, 6, 6, 3)
    for transform, again in zip(first.transforms or (), second.transforms or (), strict=True):
        if transform is None or again is None:
            continue
        changed = transform(pixels)
        kept = changed.shape == pixels.shape and changed.dtype == np.uint8
        _expect(kept, f"{name}: a transform makes {changed.dtype} {changed.shape} of uint8 {pixels.shape}")
        same = np.array_equal(changed, again(pixels))
        _expect(same, f"{name}: transforms do not depend on the generator alone")
    return first


def _check_network(name: str, task: SelfSupervisedTask, settings: ExperimentSettings) -> None:
    torch.manual_seed(0)
    encoder = make_network(task.encoder, settings)
    task.network(make_network(task.encoder, settings), pretrained=True)
    network = task.network(encoder)
    held = any(module is encoder for module in network.modules())
    _expect(isinstance(network, nn.Module) and held, f"{name}: network() does not hold the encoder it was given")
    clips, labels = _batch(task)
    loss, metrics = task.loss(network.train(), clips, labels)
    _expect(loss.shape == () and bool(loss.isfinite()), f"{name}: its loss is {loss}, expected a finite scalar")
    for metric, values in metrics.items():
        _shape(f"{name}: values of the metric {metric}", values, (SAMPLES,))
    unknown = [what for what in task.chance if f"{what}_accuracy" not in metrics]
    _expect(not unknown, f"{name}: chance of {', '.join(unknown)}, of which no metric NAME_accuracy is given")
    baseline = task.baseline([(clips, labels)])
    unknown = [what for what in baseline if f"{what}_accuracy" not in metrics and what not in metrics]
    _expect(not unknown, f"{name}: a baseline of {', '.join(unknown)}, of which there is no metric, NAME_accuracy or NAME")
    _expect(all(map(math.isfinite, baseline.values())), f"{name}: baselines {dict(baseline)}, expected finite numbers")
    loss.backward()  # type: ignore[no-untyped-call]
    reached = any(value.grad is not None and bool(value.grad.any()) for value in encoder.parameters())
    _expect(reached, f"{name}: no gradient of its loss reaches the encoder")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        first, second = (task.loss(network.eval(), clips, labels)[0] for _ in range(2))
    _expect(bool(first == second), f"{name}: evaluation of one batch gives {float(first):g}, then {float(second):g}")
    changed = [key for key, value in network.state_dict().items() if not torch.equal(value, before[key])]
    _expect(not changed, f"{name}: evaluation changes {', '.join(changed[:3])}")
    with torch.no_grad():
        quick = float(task.loss(folded(network), clips, labels)[0])
    alike = math.isclose(float(first), quick, rel_tol=1e-3, abs_tol=1e-5)
    _expect(
        alike, f"{name}: its loss is {float(first):.6g}, and {quick:.6g} with batch norms folded (folded()), as it is validated"
    )
    if not task.compares_samples:
        _check_parts(name, task, network, clips, labels, float(first))


@torch.no_grad()
def _check_parts(
    name: str, task: SelfSupervisedTask, network: nn.Module, clips: Tensor, labels: dict[str, Tensor], whole: float
) -> None:
    """A batch may pass the network in parts (compute.accumulation) if its loss is the mean of theirs."""
    halves = [slice(0, SAMPLES // 2), slice(SAMPLES // 2, SAMPLES)]
    losses = [task.loss(network, clips[half], {key: value[half] for key, value in labels.items()})[0] for half in halves]
    mean = float(sum(losses) / len(losses))
    _expect(
        math.isclose(whole, mean, rel_tol=1e-3, abs_tol=1e-5),
        f"{name}: the loss of a batch is {whole:.6g} and the mean over its halves {mean:.6g}; a loss that compares the samples "
        f"of a batch says so: compares_samples = True",
    )


def _batch(task: SelfSupervisedTask) -> tuple[Tensor, dict[str, Tensor]]:
    """Random clips of the right shape, with the labels of draws, each of another video."""
    drawn = [task.sample(_video(max(LENGTHS)), np.random.default_rng(seed)) for seed in range(SAMPLES)]
    views, frames = drawn[0].indices.shape
    clips = torch.rand(SAMPLES, views, 3, frames, 16, 16, generator=torch.Generator().manual_seed(0))
    labels = {name: torch.tensor([sample.labels[name] for sample in drawn]) for name in drawn[0].labels}
    numbers = torch.arange(SAMPLES)
    return clips, {"index": numbers, "epoch": torch.zeros(SAMPLES), **labels} | (
        {"video": numbers} if "video" in labels else {}
    )


def _place(error: BaseException) -> str:
    """File, line and function in which somebody's own code was when the error was raised."""
    package = Path(__file__).parent
    own = [frame for frame in own_frames(error) if package not in Path(frame.filename).parents]
    return f"{own[-1].filename}, line {own[-1].lineno}, in {own[-1].name}: " if own else ""


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit code: 0 kept, 1 not kept, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m trainables.checks", description="Whether something keeps its contract.")
    parser.add_argument("what", choices=["task", "backbone", "layout"])
    parser.add_argument("name", help=f"of {', '.join([*TASKS, *BACKBONES])}, package.module:NAME, or file.py:NAME")
    parser.add_argument("root", nargs="?", type=Path, help="of a layout: where data lie")
    parser.add_argument("--splits", type=Path, help="of a layout: where its lists lie")
    options = parser.parse_args(argv)
    if (options.what == "layout") != (options.root is not None):
        parser.error("a layout, and nothing else, is checked on data: layout NAME DIR")
    try:
        if options.what == "layout":
            check_layout(options.name, options.root, options.splits)
        else:
            {"task": check_task, "backbone": check_backbone}[options.what](options.name)
    except SettingsError as error:
        parser.error(str(error))
    except (ContractError, UndeclaredSetting, DataError) as error:
        print(error, file=sys.stderr)
        return 1
    except Exception as error:  # of the code that is checked
        print(f"{options.name} fails: {_place(error)}{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(f"{options.name} keeps the contract of a {options.what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
