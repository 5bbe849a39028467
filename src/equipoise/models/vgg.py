"""VGG16 for images of 32 x 32 pixels, with and without batch norm."""

from __future__ import annotations

from torch import Tensor, nn

from equipoise.models.head import (
    Head,
    make_head,
    require_dropout,
    require_images,
    require_sizes,
)

_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_WIDTH = 512


class VGG16(nn.Module):
    """Thirteen convolutions and three linear layers (Simonyan and Zisserman, 2015).

    Use as the plain network of small images; prefer :class:`ResNet32` where a smaller one is
    enough. Configuration D, with 512 instead of 4,096 hidden units for 32 x 32 pixels. Without
    batch norm a learning rate above 0.05 with SGD rarely trains.

    Args:
        num_classes: Outputs: classes or labels.
        in_channels: Of the images.
        batch_norm: Whether each convolution is followed by batch norm.
        dropout: Share of hidden units of the linear layers dropped in training, in [0, 1).
        head: "linear", or "cosine" for a :class:`CosineHead`.
        scale: Factor on the cosines.

    Parameters: 15,245,130 for 3 channels and 10 outputs, 15,291,300 for 100; with batch norm
    15,253,578 and 15,299,748.

    Raises:
        UsageError: a size below 1, or ``dropout`` outside [0, 1).

    Example:
        >>> import torch
        >>> net = VGG16(10, batch_norm=True).eval()
        >>> net(torch.zeros(2, 3, 32, 32)).shape, sum(p.numel() for p in net.parameters())
        (torch.Size([2, 10]), 15253578)
    """

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 3,
        batch_norm: bool = False,
        dropout: float = 0.5,
        head: Head = "linear",
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        require_sizes({"num_classes": num_classes, "in_channels": in_channels})
        drop = require_dropout(dropout)
        self.in_channels = in_channels
        self.features = nn.Sequential(*_convolutions(in_channels, batch_norm))
        hidden: list[nn.Module] = []
        for _ in range(2):
            hidden += [nn.Linear(_WIDTH, _WIDTH), nn.ReLU(inplace=True), nn.Dropout(drop)]
        self.hidden = nn.Sequential(*hidden)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.head = make_head(_WIDTH, num_classes, head=head, scale=scale)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes) of images (N, in_channels, H, W), H and W >= 32.

        Raises:
            ShapeError: images of another form.
        """
        require_images(x, self.in_channels, 32)
        logits: Tensor = self.head(self.hidden(self.features(x).mean(dim=(2, 3))))
        return logits


def _convolutions(in_channels: int, batch_norm: bool) -> list[nn.Module]:
    """Return the layers of five stages, each of which halves the sides of the image."""
    layers: list[nn.Module] = []
    width = in_channels
    for stage in _STAGES:
        for channels in stage:
            layers.append(nn.Conv2d(width, channels, kernel_size=3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(channels))
            layers.append(nn.ReLU(inplace=True))
            width = channels
        layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    return layers
