"""How a network in training is: what its features look like, how far its weights have gone, how much of it is dead.

Measured after each epoch, on clips that pass the network anyway: those of validation, at most `MOST_BATCHES` batches of them,
spread evenly; in a stage without validation (auxSKD) those of the epoch's last batch. Nothing is computed twice, nothing random
is drawn, and the figures are results like any other: `<stage>/health_...`.

- `health_std`: standard deviation of the features, of length 1 each, times the root of their dimension: 0 where all are equal,
  about 1 where they point everywhere. Not told, like all that compares clips, where the clips themselves are equal.
- `health_rank`: effective rank (Roy & Vetterli 2007) of the same, less their mean: 1 to their dimension.
- `health_uniformity` (Wang & Isola 2020): log E exp(-2 |x - y|^2) over pairs of clips; 0 where all are equal, less is better.
- `health_alignment` (the same): E |x - y|^2 over pairs of clips of one video, 0 to 4, where there are such pairs: several clips
  of a video in validation, several clips or frames of a sample, or the views of student and teacher.
- `health_logits`: the deviation of the last layer's logits between clips, over their root mean square: 0 where it says the
  same of all clips.
- `health_dead`: the share of ReLU units (channels of a convolution) that are zero everywhere; `health_died`: by how much
  the share in a layer has grown since the first batch, in the layer in which that is most.
- `health_leap`: `health_moved` after the first LEAP updates, or after the last where there are fewer.
- `health_moved`: the distance of the weights from those at the start of the stage, over the norm of those.

Features are the last map that is asked of the first backbone or encoder in what is trained, averaged over space and time;
weights are that one's. Of PredNet they are the top representation before the last frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models import Backbone, Encoder
from trainables.models.prednet import PredNetLayer
from trainables.video.dataset import Batch

MOST_BATCHES = 16
"""Of validation that are looked at after an epoch."""
LEAP = 20
"""Updates after which it is noted how far the weights have gone."""
ROWS = 64
"""Of a few channels that are compared with as many others at once: one at a time would take ten times as long."""
CONSTANT = ("std", "logits")
"""Figures that are 0 where a network says the same of all clips."""


@dataclass(frozen=True)
class Look:
    """What is known of a stage's beginning: the figures of CONSTANT, where there are any; by layer of ReLUs the share of units
    that are dead; the loss of the first batch; and how far the first updates moved the weights."""

    figures: dict[str, float] = field(default_factory=dict)
    dead: dict[str, float] = field(default_factory=dict)
    loss: float | None = None
    leap: float | None = None


class Health:
    """Looks at a network while it computes, and says after an epoch how it is.

    Made before anything is trained: what it holds then is the start. start: what the first batch showed, once it was looked at.
    looks: off, it sees how far the weights go and nothing else, as of a compiled
    network nobody sees inside.
    """

    def __init__(self, network: nn.Module, looks: bool = True) -> None:
        self.looks = looks
        self.start = Look()
        self.encoders = [module for module in network.modules() if isinstance(module, Backbone | Encoder)]
        followers = {id(module) for encoder in self.encoders[1:] for module in encoder.modules()}
        units = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.ReLU)]
        self.units = {name: module for name, module in units if id(module) not in followers}
        encoder: nn.Module = self.encoders[0] if self.encoders else network
        self.weights = _trained(encoder) or _trained(network)
        self.first_weights = [value.detach().clone() for value in self.weights]
        self._forget()

    def _forget(self) -> None:
        self.alive: dict[str, Tensor] = {}
        self.features: list[tuple[Tensor, Tensor]] = []
        self.others: list[tuple[Tensor, Tensor]] = []
        self.logits: list[Tensor] = []
        self.clip: Tensor | None = None
        self.clips_differ: Tensor | bool = False

    @contextmanager
    def looking(
        self, batch: Batch, videos: int | None = None, judged: Mapping[nn.Module, Any] = MappingProxyType({})
    ) -> Iterator[None]:
        """Look at what passes the network inside, which is this batch. videos: of the data set, of which a sample is the
        `index` modulo that; without it each sample is of another video. judged: what is used in the place of its modules."""
        if not self.looks:
            yield
            return
        encoders = [judged.get(encoder, encoder) for encoder in self.encoders]
        calls: list[list[tuple[int, Tensor]]] = [[] for _ in encoders]
        units = {name: judged.get(module, module) for name, module in self.units.items()}
        hooks = [module.register_forward_hook(self._see_units(name)) for name, module in units.items()]
        for encoder, found in zip(encoders, calls, strict=True):
            hooks += _hook_features(encoder, found)
        hooks += [_last_layer(encoder).register_forward_hook(self._see_logits) for encoder in encoders[:1]]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        self._compare_clips(batch["pixels"])
        samples = len(batch["wrapped"])
        shown = batch["index"] % videos if videos else torch.arange(samples)
        for number, found in enumerate(calls):
            if (rows := _last_pass(found, samples)) is not None:
                of_video = shown.to(rows.device).repeat_interleave(len(rows) // samples)
                (self.others if number else self.features).append((F.normalize(rows.double(), dim=1), of_video))

    def _compare_clips(self, pixels: Tensor) -> None:
        """Whether what was looked at are different clips: of equal ones equal features say nothing of the network."""
        self.clip = pixels[0] if self.clip is None else self.clip
        self.clips_differ |= (pixels != self.clip).any()

    def _see_units(self, name: str) -> Any:
        def see(module: nn.Module, inputs: Any, output: Tensor) -> None:
            if output.dim() < 2:
                return
            alive = greatest(output.detach()) > 0
            self.alive[name] = alive | self.alive[name] if name in self.alive else alive

        return see

    def _see_logits(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        if isinstance(module, nn.Linear):
            self.logits.append(output.detach().double())

    def updated(self, updates: int, loss: Tensor) -> None:
        """So many updates were made since the start of the stage. loss: that of the last one's batch."""
        if updates == 1:
            self.start = replace(self.start, loss=float(loss))
        if updates == LEAP:
            self.start = replace(self.start, leap=moved(self.weights, self.first_weights))

    @property
    def leap(self) -> float:
        """`health_leap` of a stage that has ended."""
        return moved(self.weights, self.first_weights) if self.start.leap is None else self.start.leap

    def measures(self, first: bool = False) -> dict[str, float]:
        """The figures of what was looked at since the last call, by name, without the stage's prefix.

        first: it was the first batch, before the first update.
        """
        found = {"moved": moved(self.weights, self.first_weights)}
        dead = {name: 1 - float(alive.double().mean()) for name, alive in self.alive.items()}
        if dead:
            units = torch.cat([alive.cpu() for alive in self.alive.values()])
            died = max(share - self.start.dead.get(name, share) for name, share in dead.items())
            found |= {"dead": 1 - float(units.double().mean()), "died": max(died, 0.0)}
        if self.features and self.clips_differ:
            found |= _of_features(self.features, self.others)
        if self.logits and self.clips_differ:
            found["logits"] = deviation(torch.cat(self.logits))
        self._forget()
        if first:
            self.start = replace(self.start, figures={name: found[name] for name in CONSTANT if name in found}, dead=dead)
        return {f"health_{name}": value for name, value in found.items()}


def greatest(maps: Tensor) -> Tensor:
    """The greatest value of each channel of maps (B, C, ...), (C,); the maps' memory may have their channels last."""
    rows = maps.movedim(1, -1)
    if not rows.is_contiguous():
        return maps.amax([0, *range(2, maps.dim())])
    together = math.gcd(rows[..., 0].numel(), ROWS)
    return rows.view(-1, together * maps.shape[1]).amax(0).view(together, -1).amax(0)


def _trained(network: nn.Module) -> list[Tensor]:
    return [value for value in network.parameters() if value.requires_grad]


def _hook_features(encoder: Backbone | Encoder, found: list[tuple[int, Tensor]]) -> list[Any]:
    """Keeps the maps of an encoder's layers with the layer's number, of those computed one after the other the last."""
    layers = encoder.layers()

    def seen_by(number: int) -> Any:
        def see(module: nn.Module, *seen: Any) -> None:
            maps: Tensor = seen[0][0] if isinstance(layers[number], PredNetLayer) else seen[-1]
            if found and found[-1][0] < number:
                found.pop()
            found.append((number, maps.detach()))

        return see

    hooks = []
    for number, layer in enumerate(layers):
        last: nn.Module = layer
        while isinstance(last, nn.Sequential):  # some encoders join theirs anew whenever they are asked for their layers
            last = last[-1]
        if isinstance(last, PredNetLayer):
            hooks.append(last.prediction.register_forward_pre_hook(seen_by(number)))
        else:
            hooks.append(last.register_forward_hook(seen_by(number)))
    return hooks


def _last_layer(encoder: Backbone | Encoder) -> nn.Module:
    last = encoder.fc if isinstance(encoder, Backbone) else encoder.classifier
    return last[-1] if isinstance(last, nn.Sequential) else last


def _last_pass(calls: list[tuple[int, Tensor]], samples: int) -> Tensor | None:
    """The features of a batch's last pass, whose parts are joined, of the last layer that was asked for; None where its samples
    did not pass, or not all alike."""
    last = max((number for number, _ in calls), default=0)
    maps = [found for number, found in calls if number == last]
    rows: list[Tensor] = []
    while maps and sum(map(len, rows)) < samples:
        rows.insert(0, maps.pop())
    joined = torch.cat([found.float().flatten(2).mean(2) for found in rows]) if rows else None
    return joined if joined is not None and len(joined) % samples == 0 else None


def _of_features(features: list[tuple[Tensor, Tensor]], others: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
    rows, videos = (torch.cat(parts) for parts in zip(*features, strict=True))
    if not bool(rows.isfinite().all()):
        return {"std": math.nan}
    if len(rows) < 2:
        return {}
    found = {"std": spread(rows), "rank": effective_rank(rows), "uniformity": uniformity(rows)}
    if others:
        more, of_more = (torch.cat(parts) for parts in zip(*others, strict=True))
        rows, videos = torch.cat([rows, more]), torch.cat([videos, of_more])
    aligned = alignment(rows, videos)
    return found if aligned is None else {**found, "alignment": aligned}


def spread(rows: Tensor) -> float:
    """The standard deviation of rows (N, D) of length 1, the mean over dimensions, times the root of D."""
    return float(rows.std(0, correction=0).mean() * rows.shape[1] ** 0.5)


def deviation(logits: Tensor) -> float:
    """The root mean square deviation of logits (N, classes) from their mean over clips, over their root mean square."""
    size = logits.square().mean().sqrt()
    return float((logits - logits.mean(0)).square().mean().sqrt() / size) if float(size) else 0.0


def effective_rank(rows: Tensor) -> float:
    """exp of the entropy of the singular values of rows (N, D) less their mean, over their sum; 1 where all rows are equal."""
    values = torch.linalg.svdvals(rows - rows.mean(0))
    total = values.sum()
    if float(total) <= torch.finfo(torch.float32).eps * len(rows) ** 0.5:
        return 1.0
    shares = values / total
    return float(torch.special.entr(shares).sum().exp())


def uniformity(rows: Tensor) -> float:
    """log of the mean of exp(-2 |x - y|^2) over all pairs of rows (N, D), N at least 2."""
    return float(torch.pdist(rows).square().mul(-2).exp().mean().log())


def alignment(rows: Tensor, videos: Tensor) -> float | None:
    """The mean of |x - y|^2 over pairs of rows (N, D) that are of the same of the videos (N,); None where there is no pair."""
    same = torch.triu(videos[:, None] == videos[None, :], diagonal=1)
    first, second = same.nonzero(as_tuple=True)
    return float((rows[first] - rows[second]).square().sum(1).mean()) if len(first) else None


@torch.no_grad()
def moved(weights: list[Tensor], start: list[Tensor]) -> float:
    """|w - w0| / |w0| of all weights together; 0 where all were 0."""
    gone, whole = _norm(torch._foreach_sub(weights, start)), _norm(start)
    return gone / whole if whole else 0.0


def _norm(tensors: Sequence[Tensor]) -> float:
    """The norm of all together, in float64."""
    return float(torch.stack([torch.linalg.vector_norm(tensor, dtype=torch.float64) for tensor in tensors]).norm())


def looked_at(batches: int) -> set[int]:
    """The numbers of the batches that are looked at, of so many: at most MOST_BATCHES, spread evenly."""
    return {number * batches // MOST_BATCHES for number in range(MOST_BATCHES)} if batches else set()
