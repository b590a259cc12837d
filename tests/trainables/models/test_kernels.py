"""What `compute` asks of a GPU's kernels is chosen while a stage runs, and not after it; a CPU is left as it is. Seen by
torch's flags, which any machine has; no GPU was asked."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainables.models import make_backbone, make_encoder
from trainables.models.average_pool import average_pool
from trainables.models.backbone import Backbone
from trainables.models.device import on_device
from trainables.models.encoder import Encoder
from trainables.models.kernels import FORBIDDEN, Kernels, kernels
from trainables.presets import configure
from trainables.runtime import CUBLAS_WORKSPACE, Runtime
from trainables.settings import ComputeSettings, Optimisation, SettingsError
from trainables.stages.training import make_optimiser

CPU, GPU = torch.device("cpu"), torch.device("cuda")
OF_TORCH = Kernels(convolutions=True, products=False, benchmark=False, deterministic=0)


@pytest.fixture(autouse=True)
def as_torch_has_them() -> Iterator[None]:
    assert Kernels.chosen() == OF_TORCH, "what another test left"
    yield
    OF_TORCH.choose()


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, OF_TORCH),
        ({"tf32": "none"}, OF_TORCH._replace(convolutions=False)),
        ({"tf32": "all"}, OF_TORCH._replace(products=True)),
        ({"cudnn_benchmark": True}, OF_TORCH._replace(benchmark=True)),
        ({"deterministic": True}, OF_TORCH._replace(deterministic=FORBIDDEN)),
        ({"fused": True, "compile": True, "cuda_graphs": True}, OF_TORCH),
    ],
)
def test_a_gpu_computes_with_what_is_asked_for_until_the_end(asked: dict[str, Any], expected: Kernels) -> None:
    with kernels(ComputeSettings(**asked), GPU):
        assert Kernels.chosen() == expected
        assert torch.are_deterministic_algorithms_enabled() == ("deterministic" in asked)
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert Kernels.chosen() == OF_TORCH
    with kernels(ComputeSettings(**asked), CPU):
        assert Kernels.chosen() == OF_TORCH


def test_a_stage_that_fails_leaves_nothing_chosen() -> None:
    with pytest.raises(ZeroDivisionError), kernels(ComputeSettings(tf32="all", deterministic=True), GPU):
        raise ZeroDivisionError
    assert Kernels.chosen() == OF_TORCH


def test_what_contradicts_itself_is_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"^compute: deterministic = true with cudnn_benchmark = true: .*cudnn_benchmark=false"
    ):
        configure("paper", {"compute.deterministic": True})
    assert configure("paper", {"compute.deterministic": True, "compute.cudnn_benchmark": False}).compute.deterministic
    with pytest.raises(SettingsError, match=r"^compute: cuda_graphs = true without compile = true: .*compute\.compile=true"):
        configure("demo", {"compute.cuda_graphs": True})


def test_a_process_with_a_gpu_gives_cublas_a_memory_of_fixed_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user says of it stays; a process on a CPU says nothing."""
    name, value = CUBLAS_WORKSPACE
    monkeypatch.setenv(name, ":16:8")
    Runtime(tmp_path, tmp_path, device="cuda").torch_device()
    assert os.environ[name] == ":16:8"
    monkeypatch.delenv(name)
    Runtime(tmp_path, tmp_path, device="cpu").torch_device()
    assert name not in os.environ
    Runtime(tmp_path, tmp_path, device="cuda:1").torch_device()
    assert os.environ[name] == value


@pytest.mark.parametrize("sizes", [(7, 7, 7, 7), (6, 6, 2, 3), (13, 9, 8, 8), (5, 4, 1, 1), (2, 3, 4, 5)])
def test_deterministic_averages_are_those_of_adaptive_pooling(sizes: tuple[int, int, int, int]) -> None:
    """Of float64, and their gradients; without being asked for it is adaptive pooling to the bit."""
    *size, height, width = sizes
    maps = torch.rand(2, 3, *size, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(2, 3, height, width, dtype=torch.float64)

    def found() -> tuple[torch.Tensor, ...]:
        averages = average_pool(maps, height, width)
        return averages, *torch.autograd.grad((averages * weights).sum(), maps)

    usual = F.adaptive_avg_pool2d(maps, (height, width))
    assert torch.equal(average_pool(maps, height, width), usual)
    expected = found()
    torch.use_deterministic_algorithms(True)
    for one, other in zip(found(), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_a_fused_step_is_the_same_but_for_rounding(optimiser: Any) -> None:
    """Torch has fused kernels for CPUs, too; a training on a CPU does not ask for them."""
    torch.manual_seed(0)
    start = nn.Linear(9, 4)
    seen, ends = torch.rand(8, 9), []
    for fused in (False, True):
        network = copy.deepcopy(start)
        stepping = make_optimiser(list(network.parameters()), Optimisation(optimiser=optimiser, learning_rate=0.1), fused)
        assert (stepping.defaults["fused"], stepping.defaults["foreach"]) == ((True, None) if fused else (None, True))
        for _ in range(5):
            stepping.zero_grad()
            network(seen).square().sum().backward()
            stepping.step()
        ends.append(network.weight.detach())
    torch.testing.assert_close(*ends)
    assert not torch.equal(ends[0], start.weight)


def test_cuda_graphs_are_a_mode_in_which_a_gpu_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backbone's forward pass, and what is asked of an encoder; a CPU compiles as without."""
    asked = ComputeSettings(compile=True, cuda_graphs=True, channels_last=False)
    modes: list[Any] = []
    monkeypatch.setattr(nn.Module, "to", lambda module, device: module)  # there is no GPU to go to
    monkeypatch.setattr(Backbone, "compile", lambda module, mode=None: modes.append(mode))
    monkeypatch.setattr(Encoder, "compile_methods", lambda module, mode=None: modes.append(mode))
    settings = configure("demo", {"recipe": "student"})
    for network in (make_backbone(settings.backbone), make_encoder("alexnet", settings, 3)):
        for device in (GPU, CPU):
            on_device(network, device, asked)
            on_device(network, device, asked.model_copy(update={"cuda_graphs": False}))
    assert modes == ["reduce-overhead", None, None, None] * 2
