"""Small networks of other kinds than the workbook's, as somebody would write them in a file."""

import torch
from torch import nn

CODE = '''
import torch
from torch import nn


def body(channels=1):
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(),
    )


def build(outputs=2, channels=1):
    head = [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, outputs)]
    return nn.Sequential(body(channels), *head)


def three_classes():
    return build(3)


def colour():
    return build(2, 3)


def one_logit():
    return nn.Sequential(*build(1), nn.Flatten(0))


class Answer(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.net, self.how = build(), how

    def forward(self, images):
        logits = self.net(images)
        return {
            "tuple": (logits, images),
            "map": self.net[0](images),
            "probabilities": logits.softmax(1),
            "sigmoid": logits[:, 1].sigmoid(),
            "nan": logits * float("nan"),
        }[self.how]


def a_tuple():
    return Answer("tuple")


def a_map():
    return Answer("map")


def probabilities():
    return Answer("probabilities")


def sigmoid():
    return Answer("sigmoid")


def nan():
    return Answer("nan")


class Stuck(nn.Module):
    """Its batch normalisation never leaves training mode."""

    def __init__(self):
        super().__init__()
        self.net = build()

    def forward(self, images):
        self.net.train()
        return self.net(images)


def stuck():
    return Stuck()


class Wide(nn.Module):
    """In training mode it cannot work: batch normalisation of one value per channel."""

    def __init__(self):
        super().__init__()
        self.net, self.norm, self.head = body(), nn.BatchNorm1d(8), nn.Linear(8, 2)

    def forward(self, images):
        pooled = self.net(images).amax((2, 3))
        if self.training:
            pooled = pooled.mean(0, keepdim=True)
        return self.head(self.norm(pooled))


def wide():
    return Wide()


def no_network():
    return "a network"


def needs_argument(size):
    return build()
'''


class TinyTransformer(nn.Module):
    """A vision transformer: patches, `before` tokens, blocks of attention, class token or mean."""

    def __init__(self, seed=0, outputs=2, side=4, width=8, heads=2, blocks=2, before=1, channels=1):
        super().__init__()
        torch.manual_seed(seed)
        self.before = before
        self.patches = nn.Conv2d(channels, width, 4, 4)
        self.first = nn.Parameter(torch.randn(1, before, width))
        self.place = nn.Parameter(torch.randn(1, before + side * side, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(blocks))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, outputs)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.first.expand(len(images), -1, -1), tokens], 1) + self.place
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        logits = self.head(tokens[:, 0] if self.before else tokens.mean(1))
        return logits[:, 0] if logits.shape[1] == 1 else logits


class Block(nn.Module):
    """Norm, attention written out, norm, two linear layers; both with a way by."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.softmax = nn.Softmax(-1)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, tokens):
        n, t, d = tokens.shape
        qkv = self.qkv(self.norm1(tokens)).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = self.softmax(qkv[0] @ qkv[1].transpose(-1, -2) / (d / self.heads) ** 0.5)
        tokens = tokens + self.proj((weights @ qkv[2]).transpose(1, 2).flatten(2))
        return tokens + self.mlp(self.norm2(tokens))


def write_code(folder):
    """my_net.py with the functions above; returns its path as text."""
    path = folder / "my_net.py"
    path.write_text(CODE)
    return str(path)
