"""A step gives a device its work and waits for nothing: it neither reads a number from there nor copies one to it that the host
has just made. Where `compute.deterministic` is on it computes nothing that gives other bits from run to run. Tried on torch's
device `meta`, of which nothing can be read as it computes nothing."""

from __future__ import annotations

import contextlib
import itertools
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.trainables.conftest import FROM, VARIETY
from trainables import tasks
from trainables.data import open_data
from trainables.distillation import classes, transport
from trainables.pipeline import Experiment, Stage, resolve, work_of
from trainables.runtime import Runtime
from trainables.settings import TASKS, ExperimentSettings, VideoSettings, with_values
from trainables.stages.training import make_optimiser, train_step
from trainables.stages.work import Outcome, Training, Work
from trainables.store import Artifact
from trainables.video.augmentation import to_network
from trainables.video.dataset import on_device

META = torch.device("meta")
READING = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "bincount", "_linalg_check_errors"}
"""Operators of which the host waits for the result, or for its size."""
INDEXING = {"index", "index_put", "index_put_"}
UNEQUAL = {
    "_adaptive_avg_pool2d_backward",
    "_adaptive_avg_pool3d_backward",
    "avg_pool3d_backward",
    "adaptive_max_pool2d_backward",
    "fractional_max_pool2d_backward",
    "fractional_max_pool3d_backward",
    "max_unpool2d",
    "max_unpool3d",
    "upsample_linear1d_backward",
    "upsample_bilinear2d_backward",
    "upsample_bicubic2d_backward",
    "upsample_trilinear3d_backward",
    "reflection_pad1d_backward",
    "reflection_pad2d_backward",
    "reflection_pad3d_backward",
    "nll_loss2d_forward",
    "_ctc_loss_backward",
    "put_",
    "histc",
    "cumsum",
    "grid_sampler_2d_backward",
    "grid_sampler_3d_backward",
}
"""Operators of which a GPU has no kernel that gives the same bits from run to run: what raises with torch's deterministic
algorithms (torch.use_deterministic_algorithms). `median.dim` and `median.dim_values` have one name with `median`, which may."""
STEPS = 2

MORE: Mapping[str, Mapping[str, Any]] = {
    "anchors": {"auxskd.anchors": "filled", "auxskd.warmup_epochs": 1, "auxskd.clip_gradient": 1.0},
    "balanced": {"graph.representation_share": 0.1, "graph.bandwidth": 1.0},
    "parts": {"graph.logits": "average", "compute.accumulation": 2},
}
"""Further experiments, by the rules of VARIETY: what reads something in a step where others do not."""


class Waited(AssertionError):
    """Something waits for the device."""


class Unequal(AssertionError):
    """Something has no deterministic kernel."""


class Operators(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        named = named or {}
        name = function.overloadpacket.__name__
        if any(isinstance(one, Tensor) and one.device == META for one in tree_leaves((given, named))):
            if name in READING:
                raise Waited(f"{function} reads from the device")
            if name in UNEQUAL or function in (torch.ops.aten.median.dim, torch.ops.aten.median.dim_values):
                raise Unequal(f"{function} gives other bits from run to run")
            if name in INDEXING and any(place is not None and must_be_read(place) for place in given[1]):
                raise Waited(f"{function} by a mask, the size of which is read, or by places on the host")
        if name in ("_to_copy", "copy_") and not named.get("non_blocking", len(given) > 2 and given[2]):
            target = named.get("device") or given[0].device
            source = given[0 if name == "_to_copy" else 1]
            if META in (torch.device(target), source.device) and source.device != torch.device(target):
                raise Waited(f"{function} from {source.device} to {target} waits for the copy")
        return function(*given, **named)


def must_be_read(place: Tensor) -> bool:
    return place.dtype == torch.bool or (place.device != META and place.dim() > 0)


class Functions(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        named = named or {}
        made = function is Tensor.new_tensor and given[0].device == META
        made |= function in (torch.tensor, torch.as_tensor) and str(named.get("device")) == META.type
        if function is Tensor.__getitem__ and given[0].device == META:
            made |= any(isinstance(place, list) for place in (given[1] if isinstance(given[1], tuple) else (given[1],)))
        if made:
            raise Waited(f"{function.__name__} copies numbers of the host to the device")
        return function(*given, **named)


@contextlib.contextmanager
def not_waiting() -> Iterator[None]:
    with Operators(), Functions():
        yield


class Nearest:
    """In the place of Assignments: no plan, but of its form."""

    def __init__(self, cost: Tensor) -> None:
        self.cost = cost

    def found(self) -> Tensor:
        return self.cost.argmin(2)


@pytest.fixture
def on_meta(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autocast knows no `meta`; baselines are told once, before training. Transport is left out: an exact plan is found on the
    host, and POT's iterations end when the host has read that they may."""
    monkeypatch.setattr(torch, "autocast", lambda *given, **named: contextlib.nullcontext())
    for name in TASKS.entries:
        monkeypatch.setattr(tasks.find_task(name), "baseline", lambda self, batches: {})
    monkeypatch.setattr(transport, "Assignments", Nearest)
    monkeypatch.setattr(transport, "entropic_plans", lambda cost, regularisation: cost.softmax(2))
    monkeypatch.setattr(classes, "earth_mover", lambda mu, eta, ground: (mu - eta).abs().sum(-1))
    for pixels in ("rgb_normalised", "rgb_imagenet"):  # constants are brought to a device once
        frame = torch.zeros(1, 1, 4, 4, 3, dtype=torch.uint8, device=META)
        to_network(frame, torch.zeros(1, dtype=torch.bool), torch.zeros(1, 1, 4), VideoSettings(pixels=cast("Any", pixels)))


class Left:
    """In the place of an artifact: what a stage would leave that has not trained its network."""

    def __init__(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        self.contents = tensors

    def tensors(self, name: str = "weights") -> dict[str, Tensor]:
        """Every checkpoint is as the end is."""
        return dict(self.contents["weights" if name.startswith("weights") else name])


class Untrained:
    """Stages of experiments of seed 0, one after the other, each after those before it that have not trained."""

    def __init__(self, clips: Path, store: Path) -> None:
        self.host, self.device = (Runtime(store, clips, device=device) for device in ("cpu", "meta"))
        self.left: dict[str, Left] = {}

    def trainings(self, settings: ExperimentSettings) -> Iterator[tuple[str, Work, Training]]:
        """Those that were not seen before, on the device `meta`."""
        data = open_data(settings.data, self.host)
        stages = [stage for stage in resolve(Experiment(settings, 0), data, {}) if leaves_what_others_train_on(stage)]
        read = {source.key for stage in stages for source in stage.inputs.values()}
        for stage in stages:
            if stage.key in self.left:
                continue
            self.left[stage.key] = Left({})
            if stage.key in read:
                made = stage.declared.run(self.work(stage, settings, data, self.host))
                self.left[stage.key] = Left(made.tensors if isinstance(made, Outcome) else {"weights": made.weights()})
            if stage.declared.schedule is not None:
                work = self.work(stage, settings, data, self.device)
                training = stage.declared.run(work)
                assert isinstance(training, Training)
                yield stage.name, work, training

    def work(self, stage: Stage, settings: ExperimentSettings, data: Any, place: Runtime) -> Work:
        inputs = {role: cast("Artifact", self.left[source.key]) for role, source in stage.inputs.items()}
        return work_of(stage, settings, data[stage.data], inputs, place)


def leaves_what_others_train_on(stage: Stage) -> bool:
    return stage.declared.schedule is not None or stage.kind == "tracks" or stage.kind.endswith("_views")


def steps(work: Work, training: Training) -> None:
    """The first steps. What is made in the first one only may be made at leisure: what an optimiser remembers, and more."""
    optimiser = make_optimiser([one for one in training.network.parameters() if one.requires_grad], training.optimisation)
    training.network.train()
    torch.use_deterministic_algorithms(True)
    try:
        for number, batch in enumerate(itertools.islice(training.loader.epoch(0), STEPS)):
            with not_waiting() if number else contextlib.nullcontext():
                train_step(work, training.at(number), optimiser, on_device(batch, META))
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.slow
def test_no_step_of_any_stage_waits_for_the_device(
    tiny: ExperimentSettings, tiny_graph: ExperimentSettings, clips: Path, tmp_path: Path, on_meta: None
) -> None:
    untrained, tried, waited = Untrained(clips, tmp_path), set(), {}
    names = list(VARIETY)
    for name, changes in (VARIETY | MORE).items():
        if name in FROM:
            continue  # the same steps, of networks that start from files, which are not there
        of_graph = name in ("balanced", "parts") or (name in VARIETY and names.index(name) >= names.index("distillation"))
        for stage, work, training in untrained.trainings(with_values(tiny_graph if of_graph else tiny, changes)):
            try:
                steps(work, training)
            except Exception as error:
                waited[name, stage] = f"{error!r} {traceback.extract_tb(error.__traceback__)[-3:]}"
            tried.add(stage)
    assert waited == {}
    assert {"auxskd", "pretext", "finetune", "student", "student_selffer", "vgg_classifier", "prednet_classifier"} <= tried
    assert {
        name for task in ("sorting", "ego_motion", "tracking", "prediction") for name in (task, f"{task}_classifier")
    } <= tried


@pytest.mark.parametrize(
    "waits",
    [
        lambda values: float(values.sum()),
        lambda values: bool(torch.all(values == 0)),
        lambda values: values[values > 0],
        lambda values: values.cpu(),
        lambda values: values + values.new_tensor([1.0, 2.0]),
        lambda values: values[[0, 1]],
        lambda values: values[torch.tensor([0, 1])],
        lambda values: values + torch.tensor([1.0, 2.0]).to(META),
        lambda values: torch.linalg.inv(values.expand(2, 2)),
        lambda values: values.copy_(torch.zeros(2)),
    ],
)
def test_what_waits_is_seen(waits: Any) -> None:
    with pytest.raises(Waited), not_waiting():
        waits(torch.zeros(2, device=META))


def test_what_gives_other_bits_is_seen() -> None:
    """A gradient of adaptive pooling, which networks take by other means where it must be the same; and sums of a row."""
    maps = torch.zeros(1, 1, 4, 4, device=META, requires_grad=True)
    with pytest.raises(Unequal), not_waiting():
        torch.nn.functional.adaptive_avg_pool2d(maps, 2).sum().backward()
    with pytest.raises(Unequal), not_waiting():
        maps.cumsum(0)


def test_what_does_not_wait_passes() -> None:
    values = torch.zeros(2, device=META)
    with not_waiting():
        values[0] = 1
        values[values.argmax()[None]] + torch.tensor(2.0)
        torch.tensor([1.0, 2.0]).to(META, non_blocking=True)
        torch.where(values > 0, values, 1.0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_no_step_of_any_stage_waits_for_a_gpu(
    tiny: ExperimentSettings, tiny_graph: ExperimentSettings, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, as CUDA itself sees it; it lets a step wait for costs that were copied before."""
    untrained = Untrained(clips, tmp_path)
    untrained.device = Runtime(tmp_path, clips, device="cuda")
    monkeypatch.setattr(transport, "entropic_plans", lambda cost, regularisation: cost.softmax(2))
    monkeypatch.setattr(classes, "earth_mover", lambda mu, eta, ground: (mu - eta).abs().sum(-1))
    names = list(VARIETY)
    for name, changes in VARIETY.items():
        base = tiny_graph if names.index(name) >= names.index("distillation") else tiny
        for stage, work, training in untrained.trainings(with_values(base, changes)):
            optimiser = make_optimiser(
                [one for one in training.network.parameters() if one.requires_grad], training.optimisation
            )
            training.network.train()
            batches = [on_device(batch, work.device) for batch in training.loader.epoch(0)]
            for number in range(STEPS):
                torch.cuda.set_sync_debug_mode("error" if number else "default")
                try:
                    train_step(work, training.at(number), optimiser, batches[number % len(batches)])
                except Exception as error:
                    raise AssertionError(f"{name}: {stage}: {error}") from error
                finally:
                    torch.cuda.set_sync_debug_mode("default")
