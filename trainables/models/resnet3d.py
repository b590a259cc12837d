"""R3D and R(2+1)D networks (Tran et al. 2018) by depth and width.

Depths 18 and 34 are torchvision's `r3d_18` / `r2plus1d_18` layouts, parameter for parameter and name for name, so a
torchvision state dict loads (with a 400-way `fc`: 33,371,472 and 31,505,325 parameters). Depth 10 is the (1,1,1,1) form that
the released auxSKD and VideoPace code trains (from xudejing/video-clip-order-prediction: 14,361,792 and 14,365,303
parameters without `fc`); its R(2+1)D differs in more than depth: the stem and the shortcuts are factorised too, and the
number of middle channels is computed for each convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from trainables.models.backbone import Backbone
from trainables.settings import BackboneSettings

BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
Triple = tuple[int, int, int]
MakeConv = Callable[[int, int, int, int], nn.Module]  # in, out, middle channels, stride


def middle_channels(inputs: int, outputs: int, time: int = 3, side: int = 3) -> int:
    """Middle width at which a factorised time x side x side convolution has as many weights as the full one."""
    return (time * side * side * inputs * outputs) // (side * side * inputs + time * outputs)


class Conv2Plus1D(nn.Sequential):
    """A 3x3x3 convolution as 1x3x3, batch norm, ReLU, 3x1x1."""

    def __init__(self, inputs: int, outputs: int, middle: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv3d(inputs, middle, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
            nn.BatchNorm3d(middle),
            nn.ReLU(inplace=True),
            nn.Conv3d(middle, outputs, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
        )


class Conv3D(nn.Conv3d):
    """A full 3x3x3 convolution."""

    def __init__(self, inputs: int, outputs: int, middle: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, 3, stride, 1, bias=False)


class BasicBlock(nn.Module):
    """Two convolutions with a shortcut."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, conv: MakeConv, shortcut: nn.Module | None, per_conv: bool
    ) -> None:
        super().__init__()
        first = middle_channels(inputs, outputs)
        second = middle_channels(outputs, outputs) if per_conv else first
        self.conv1 = nn.Sequential(conv(inputs, outputs, first, stride), nn.BatchNorm3d(outputs), nn.ReLU(inplace=True))
        self.conv2 = nn.Sequential(conv(outputs, outputs, second, 1), nn.BatchNorm3d(outputs))
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut

    def forward(self, clips: Tensor) -> Tensor:
        residual = clips if self.downsample is None else self.downsample(clips)
        result: Tensor = self.relu(self.conv2(self.conv1(clips)) + residual)
        return result


def _full_stem(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(3, width, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False), nn.BatchNorm3d(width), nn.ReLU(inplace=True)
    )


def _factorised_stem(width: int, middle: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(3, middle, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
        nn.BatchNorm3d(middle),
        nn.ReLU(inplace=True),
        nn.Conv3d(middle, width, (3, 1, 1), (1, 1, 1), (1, 0, 0), bias=False),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
    )


def _full_shortcut(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm3d(outputs))


def _factorised_shortcut(inputs: int, outputs: int) -> nn.Sequential:
    middle = middle_channels(inputs, outputs, 1, 1)
    return nn.Sequential(
        nn.Conv3d(inputs, middle, 1, (1, 2, 2), bias=False),
        nn.BatchNorm3d(middle),
        nn.ReLU(inplace=True),
        nn.Conv3d(middle, outputs, 1, (2, 1, 1), bias=False),
        nn.BatchNorm3d(outputs),
    )


class VideoResNet(Backbone):
    """Clips (B, 3, T, H, W) to features (B, 8 * width), or to `fc` of them when `classes` is given.

    Weights start as torchvision's for depths 18 and 34 (Kaiming normal, fan out), and as PyTorch's defaults for depth 10,
    which the released code leaves untouched.
    """

    def __init__(self, settings: BackboneSettings, classes: int | None = None) -> None:
        super().__init__(settings, classes)
        width, released = settings.width, settings.depth == 10
        factorised = settings.family == "r2plus1d"
        conv: MakeConv = Conv2Plus1D if factorised else Conv3D
        if factorised:
            middle = middle_channels(3, width, 3, 7) if released else 45 * width // 64
            self.stem = _factorised_stem(width, middle)
        else:
            self.stem = _full_stem(width)
        shortcut = _factorised_shortcut if factorised and released else _full_shortcut
        channels = width
        layers: list[nn.Module] = []
        for number, blocks in enumerate(BLOCKS[settings.depth], start=1):
            outputs = width * 2 ** (number - 1)
            layer = [
                BasicBlock(channels, outputs, 1, conv, None, released)
                if number == 1
                else BasicBlock(channels, outputs, 2, conv, shortcut(channels, outputs), released)
            ]
            layer += [BasicBlock(outputs, outputs, 1, conv, None, released) for _ in range(blocks - 1)]
            layers.append(nn.Sequential(*layer))
            channels = outputs
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.features = channels
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.fc = nn.Linear(channels, classes) if classes is not None else nn.Identity()
        if not released:
            _initialise(self)

    @classmethod
    def form(cls, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        named = [name.split(".") for name in weights]
        blocks = tuple(len({rest[0] for layer, *rest in named if layer == f"layer{number}"}) for number in range(1, 5))
        depths = [depth for depth, there in BLOCKS.items() if there == blocks]
        norm = weights.get("layer1.0.conv1.1.weight")
        return {**({"backbone.depth": depths[0]} if depths else {}), **({} if norm is None else {"backbone.width": len(norm)})}

    def layers(self) -> list[nn.Module]:
        return [self.stem, self.layer1, self.layer2, self.layer3, self.layer4]


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01)
            nn.init.zeros_(module.bias)
