"""ResNet-32 for CIFAR, the network of the long-tail literature."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import pad, relu

from equipoise.models.head import Head, make_head, require_images, require_sizes

_STAGES = ((16, 1), (32, 2), (64, 2))
_BLOCKS = 5


class _Block(nn.Module):
    """Two convolutions beside a shortcut without parameters (option A of the paper)."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(in_channels, channels, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv3x3(channels, channels, 1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, self.extra = stride, channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, channels, H / stride, W / stride)."""
        y = relu(self.bn1(self.conv1(x)))
        return relu(self.bn2(self.conv2(y)) + self.shortcut(x))

    def shortcut(self, x: Tensor) -> Tensor:
        """Keep every ``stride``-th pixel and add channels of zeros, half on either side."""
        if self.stride == 1 and self.extra == 0:
            return x
        before = self.extra // 2
        kept = x[:, :, :: self.stride, :: self.stride]
        return pad(kept, (0, 0, 0, 0, before, self.extra - before))


def _conv3x3(in_channels: int, channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)


class ResNet32(nn.Module):
    """Three stages of five blocks, 16-32-64 channels, option A shortcuts (He et al., 2016).

    Use to compare with published numbers on CIFAR-10-LT and CIFAR-100-LT; with ``head="cosine"``
    it is the network of LDAM. Convolutions and the linear head start from Kaiming's normal.

    Args:
        num_classes: Outputs: classes or labels.
        in_channels: Of the images.
        head: "linear", or "cosine" for a :class:`CosineHead`.
        scale: Factor on the cosines.

    Parameters: 464,154 for 3 channels and 10 outputs, 470,004 for 100; none in shortcuts.

    Raises:
        UsageError: a size below 1.

    Example:
        >>> import torch
        >>> net = ResNet32(10).eval()
        >>> net(torch.zeros(2, 3, 32, 32)).shape, sum(p.numel() for p in net.parameters())
        (torch.Size([2, 10]), 464154)
    """

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 3,
        head: Head = "linear",
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        require_sizes({"num_classes": num_classes, "in_channels": in_channels})
        self.in_channels = in_channels
        width = _STAGES[0][0]
        self.conv1 = _conv3x3(in_channels, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        stages = []
        for channels, stride in _STAGES:
            blocks = [_Block(width, channels, stride)]
            blocks += [_Block(channels, channels, 1) for _ in range(_BLOCKS - 1)]
            stages.append(nn.Sequential(*blocks))
            width = channels
        self.layer1, self.layer2, self.layer3 = stages
        self.head = make_head(width, num_classes, head=head, scale=scale)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes) of images (N, in_channels, H, W), H and W >= 4.

        Raises:
            ShapeError: images of another form.
        """
        require_images(x, self.in_channels, 4)
        y = relu(self.bn1(self.conv1(x)))
        y = self.layer3(self.layer2(self.layer1(y)))
        logits: Tensor = self.head(y.mean(dim=(2, 3)))
        return logits
