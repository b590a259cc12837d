"""Weights that a network hands on to the next one: those of its convolutional layers, and whether they fit."""

from __future__ import annotations

from torch import Tensor, nn

HEADS = ("fc.", "classifier.")
"""How the names of parameters begin that belong to no convolutional layer."""


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def convolution_weights(network: nn.Module) -> dict[str, Tensor]:
    """State of a backbone or encoder without its head: what a stage hands to the next, batch-norm statistics included."""
    return {name: value.detach().cpu() for name, value in network.state_dict().items() if not name.startswith(HEADS)}


def load_convolutions(network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Load what `convolution_weights` gave; raises ValueError naming the first key that is missing or of another shape."""
    own = network.state_dict()
    if problem := mismatch(weights, {name: value for name, value in own.items() if not name.startswith(HEADS)}):
        raise ValueError(f"weights of another network: {problem}")
    network.load_state_dict({**own, **weights})


def mismatch(weights: dict[str, Tensor], expected: dict[str, Tensor]) -> str | None:
    """What is wrong with the first key, by name, that is missing, not expected or of another shape; None if all agree."""
    for name in sorted(expected.keys() | weights.keys()):
        if name not in weights:
            return f"'{name}' is missing, expected {tuple(expected[name].shape)}"
        if name not in expected:
            return f"'{name}' is not part of it, found {tuple(weights[name].shape)}"
        if weights[name].shape != expected[name].shape:
            return f"'{name}' is {tuple(weights[name].shape)}, expected {tuple(expected[name].shape)}"
    return None
