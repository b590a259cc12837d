"""What an exported network says of itself to people, and the few lines that load it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CLASSIFIER = "_classifier"
"""How names of stages end whose networks are teachers'."""
IMPORTED = f"imported{CLASSIFIER}"
"""The stage whose network is a file's, last layer included."""
LOADER = '''"""Loads the network with torch and safetensors alone: `python loader.py`, or `from loader import logits`."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

HERE = Path(__file__).resolve().parent
ABOUT = json.loads((HERE / "model.json").read_text(encoding="utf-8"))
network = torch.export.load(HERE / "network.pt2").module()
network.load_state_dict({f"network.{name}": value for name, value in load_file(HERE / "weights.safetensors").items()})
logits = torch.no_grad()(network)  # of clips (B, frames, crop, crop, 3) uint8 RGB; without classes: features

if __name__ == "__main__":
    frames, crop = ABOUT["clip"]["frames"], ABOUT["clip"]["crop"]
    print(ABOUT["network"], logits(torch.zeros(1, frames, crop, crop, 3, dtype=torch.uint8)).shape)
'''

MEASURED = {
    "test/top1": "top-1, test videos",
    "test/top5": "top-5, test videos",
    "test/map": "mean average precision, test videos",
    "validation/top1": "top-1, validation videos",
}


def card(about: Mapping[str, Any], torchvision: str | None) -> str:
    """README.md of an exported network. about: the content of model.json. torchvision: the function there that makes it."""
    clip, classes, trial, network, program = (about[name] for name in ("clip", "classes", "trial", "network", "program"))
    frames, crop = clip["frames"], clip["crop"]
    says = f"tells {len(classes)} classes apart" if classes else "gives features, and has no last layer"
    data = "\n".join(f"- {role}: {_said_of(entry)}" for role, entry in about["data"].items())
    return f"""# {network}, trial {trial["trial"]}

A network of {about["parameters"]:,} parameters that {says}, trained by auxgraph: stage `{trial["stage"]}` of a trial of sweep
`{trial["sweep"]}`, preset `{trial["preset"]}`, seed {trial["seed"]}.

## Use

    python loader.py

`loader.py` needs torch and safetensors alone. It takes clips (B, {frames}, {crop}, {crop}, 3), uint8 RGB: {frames} consecutive
frames, each resized to {clip["height"]} x {clip["width"]} (height x width, bilinear with antialiasing) and cut to the central
{crop} x {crop}. The program in `network.pt2` brings them into the form `{about["pixels"]}` itself. It was made by
torch {program["torch"]}, for evaluation on a CPU; its outputs differed from the network's by at most
{program["largest_difference"]:.2g}.

{_with_torchvision(about, torchvision)}
With auxgraph: `python harness/predict.py DIRECTORY VIDEO...`, `python harness/features.py DIRECTORY VIDEOS`, and as a start of
further training `--weights {network}=DIRECTORY`.

## Results

{_results(about)}
## Data

{data}

Licence of the data: {about["licence_of_data"]}. The weights were learned from them; what that allows is for whoever
passes the weights on to find out.

## Limits

One trial, of one seed. It knows its classes and no others, and finds one of them in any video. All settings are in
`model.json`.
{_classes(classes)}"""


def _classes(classes: Sequence[str] | None) -> str:
    return f"\n## Classes\n\n{', '.join(classes)}\n" if classes else ""


def _with_torchvision(about: Mapping[str, Any], torchvision: str | None) -> str:
    if torchvision is None:
        return "torchvision has no network of this form; names of weights follow those of its networks.\n"
    count, strict = (f"num_classes={len(about['classes'])}", "") if about["classes"] else ("", ", strict=False")
    return f"""With torchvision, also for training:

    network = {torchvision}({count})
    network.load_state_dict(safetensors.torch.load_file("weights.safetensors"){strict})
"""


def is_of_teacher(kind: str) -> bool:
    """Whether a kind of stage leaves a teacher's network."""
    return kind.endswith(CLASSIFIER) and kind != IMPORTED


def _results(about: Mapping[str, Any]) -> str:
    metrics, evaluation = about["metrics"], about["evaluation"]
    kind, *of_set = about["trial"]["stage"].split("/", 1)
    suffix = "".join(f"/{name}" for name in of_set)
    measured = {} if is_of_teacher(kind) else MEASURED  # a teacher's trial is judged by its student
    names = {f"{name}{suffix}": f"{said}{suffix}" for name, said in measured.items() if f"{name}{suffix}" in metrics}
    if not about["classes"] or not names:
        return "What this network alone reaches was not measured; metrics of its trial are in `model.json`.\n"
    rows = "\n".join(f"| {said} | {100 * metrics[name]:.1f} |" for name, said in names.items())
    return f"""| measure | percent |
|---|---|
{rows}

Of {evaluation["clips"]} clips of each video, spread evenly, central crop, mean of {evaluation["average"]}.
"""


def _said_of(entry: Mapping[str, Any]) -> str:
    parts = ", ".join(f"{entry[part]} {part}" for part in ("train", "validation", "test") if part in entry)
    return f"{entry.get('dataset')}, {parts} videos, fingerprint {entry.get('fingerprint')}"
