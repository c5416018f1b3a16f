"""Image networks as one would write them in plain torch, to compare with."""

import itertools

import torch
import torchvision
from torch import nn
from torch.nn import functional


class PlainCNN(nn.Module):
    """Four convolutions of doubling width; the image is halved after the second and third (8 to 2 pixels)."""

    def __init__(self, width):
        super().__init__()
        channels = [3, width, 2 * width, 4 * width, 8 * width]
        pairs = list(itertools.pairwise(channels))
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for _, b in pairs)
        self.output = nn.Linear(8 * width, 7)

    def forward(self, x):
        for place in range(4):
            x = self.norms[place](self.convolutions[place](x)).relu()
            x = functional.max_pool2d(x, 2) if place in (1, 2) else x
        return self.output(functional.adaptive_max_pool2d(x, 1).flatten(1))


class PlainBlock(nn.Module):
    """Pre-activation; the shortcut reads what the first norm and ReLU give."""

    def __init__(self, fan_in, out, stride):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(fan_in), nn.BatchNorm2d(out)
        self.conv1 = nn.Conv2d(fan_in, out, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        if fan_in != out:
            self.shortcut = nn.Conv2d(fan_in, out, 1, stride, bias=False)

    def forward(self, x):
        h = self.norm1(x).relu()
        kept = self.shortcut(h) if hasattr(self, "shortcut") else x
        return self.conv2(self.norm2(self.conv1(h)).relu()) + kept


class PlainResNet(nn.Module):
    """Three stages of one block."""

    def __init__(self, width):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.blocks = nn.Sequential(
            PlainBlock(width, width, 1), PlainBlock(width, 2 * width, 2), PlainBlock(2 * width, 4 * width, 2)
        )
        self.norm, self.output = nn.BatchNorm2d(4 * width), nn.Linear(4 * width, 7)

    def forward(self, x):
        return self.output(self.norm(self.blocks(self.stem(x))).relu().mean((2, 3)))


class PlainActivated(nn.Module):
    """Norm, ReLU, convolution."""

    def __init__(self, fan_in, out, kernel):
        super().__init__()
        self.norm, self.convolution = nn.BatchNorm2d(fan_in), nn.Conv2d(fan_in, out, kernel, 1, kernel // 2, bias=False)

    def forward(self, x):
        return self.convolution(self.norm(x).relu())


class PlainDenseNet(nn.Module):
    """Three blocks of two layers, each reading the concatenation of all before it in its block."""

    def __init__(self, growth, bottleneck=False):
        super().__init__()

        def layer(fan_in):
            inner = [PlainActivated(fan_in, 4 * growth, 1)] if bottleneck else []
            return nn.Sequential(*inner, PlainActivated(4 * growth if bottleneck else fan_in, growth, 3))

        channels = 2 * growth
        self.stem = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.blocks, self.transitions = nn.ModuleList(), nn.ModuleList()
        for block in range(3):
            if block:
                self.transitions.append(PlainActivated(channels, channels // (1 + bottleneck), 1))
                channels //= 1 + bottleneck
            self.blocks.append(nn.ModuleList([layer(channels), layer(channels + growth)]))
            channels += 2 * growth
        self.norm, self.output = nn.BatchNorm2d(channels), nn.Linear(channels, 7)

    def forward(self, x):
        x = self.stem(x)
        for place, block in enumerate(self.blocks):
            x = functional.avg_pool2d(self.transitions[place - 1](x), 2) if place else x
            found = [x]
            for layer in block:
                found.append(layer(torch.cat(found, 1)))
            x = torch.cat(found, 1)
        return self.output(self.norm(x).relu().mean((2, 3)))


class PlainVGG(nn.Module):
    """torchvision's stages for the 32 x 32 image, whose convolutions have biases before their batch norms."""

    def __init__(self, width):
        super().__init__()
        plan = [width, "M", 2 * width, "M", *[4 * width] * 2, "M", *[8 * width] * 2, "M", *[8 * width] * 2, "M"]
        self.features = torchvision.models.vgg.make_layers(plan, batch_norm=True)
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                layer.bias = None
        self.output = nn.Linear(8 * width, 7)

    def forward(self, x):
        return self.output(self.features(x).flatten(1))


class PlainAlexNet(nn.Module):
    """The five convolutions of 32 x 32 images."""

    def __init__(self, width):
        super().__init__()
        sizes = [(3, 1, 11, 4, 5), (1, 3, 5, 1, 2), (3, 6, 3, 1, 1), (6, 4, 3, 1, 1), (4, 4, 3, 1, 1)]
        layers = []
        for place, (fan_in, out, kernel, stride, padding) in enumerate(sizes):
            layers += [nn.Conv2d(fan_in * width if place else 3, out * width, kernel, stride, padding), nn.ReLU()]
            layers += [] if place in (2, 3) else [nn.MaxPool2d(2)]
        self.features, self.output = nn.Sequential(*layers), nn.Linear(4 * width, 7)

    def forward(self, x):
        return self.output(self.features(x).flatten(1))


class PlainMLP(nn.Sequential):
    """Affine map, batch norm, ReLU, twice, and an affine map."""

    def __init__(self, width):
        layers = [nn.Linear(width if place else 192, width) for place in range(2)]
        norms = [nn.BatchNorm1d(width) for _ in range(2)]
        super().__init__(
            nn.Flatten(), layers[0], norms[0], nn.ReLU(), layers[1], norms[1], nn.ReLU(), nn.Linear(width, 7)
        )
