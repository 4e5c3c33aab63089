"""Routes by which observed frames and tracks reach a net: each a small module, any several of them together.

`Conditioned(core, *routes)` is what a clip model drives. The core knows noisy frames and what it is
`Told`; a route writes what is observed, or a control track, into either. A core is made with as many
extra channels, maps, or as wide a context, as its routes write: `Route.extra`, `.maps`, `.context`.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtake.nets.dit import nearest_observed, waves
from longtake.nets.unet import FactorisedUNet, Told, UNetShape


@dataclasses.dataclass(frozen=True)
class Given:
    """A call on its way to the core.

    x (b, t, c, h, w): noisy frames and what routes joined to them. level, times (b, t). clean
    (b, t, c, h, w): observed frames, zero elsewhere. tracks: control tracks by name, (b, t, ...).
    """

    x: Tensor
    level: Tensor
    times: Tensor
    clean: Tensor
    told: Told
    tracks: Mapping[str, Tensor]

    @property
    def flags(self) -> Tensor:
        """(b, t, 1, 1, 1): 1 where a frame is observed."""
        return self.told.observed[:, :, None, None, None]

    def join(self, more: Tensor) -> Given:
        """With further channels (b, t, k, h, w) beside the frames."""
        return dataclasses.replace(self, x=torch.cat([self.x, more.to(self.x)], 2))

    def show(self, maps: Tensor) -> Given:
        """With further maps (b, t, k, h, w) at every scale."""
        before = self.told.maps
        maps = maps if before is None else torch.cat([before, maps], 2)
        return self.tell(maps=maps)

    def mention(self, tokens: Tensor) -> Given:
        """With further vectors (b, t, m, d) to attend to."""
        before = self.told.context
        return self.tell(context=tokens if before is None else torch.cat([before, tokens], 2))

    def tell(self, **what: Tensor | list[Tensor]) -> Given:
        """With fields of `told` replaced."""
        return dataclasses.replace(self, told=dataclasses.replace(self.told, **what))  # type: ignore[arg-type]


class Core(Protocol):
    """A net of noisy frames: `FactorisedUNet`, `StackedUNet`, `PlaneUNet`."""

    shape: UNetShape

    def __call__(self, x: Tensor, level: Tensor, times: Tensor, told: Told) -> Tensor: ...


class Route(nn.Module):
    """A way in. extra, maps, context: what it needs of the core's shape."""

    extra = 0
    maps = 0
    context = 0

    def forward(self, given: Given) -> Given:
        """What the next route, or the core, is given."""
        raise NotImplementedError


class Conditioned(nn.Module):
    """A core and the routes into it: a `nets.frames.FrameNet`.

    Control tracks that are not text come by name.
    """

    def __init__(self, core: nn.Module, *routes: Route) -> None:
        super().__init__()
        self.core, self.routes = core, nn.ModuleList(routes)
        self.shape = core.shape
        for name, joined in (("extra", sum), ("maps", sum), ("context", max)):
            needed = joined([getattr(route, name) for route in routes] or [0])
            if getattr(self.shape, name) != needed:
                raise ValueError(f"{name}={getattr(self.shape, name)}; try {name}={needed}")

    def forward(
        self,
        x: Tensor,
        level: Tensor,
        observed: Tensor,
        times: Tensor,
        text: Tensor,
        clean: Tensor,
        **tracks: Tensor,
    ) -> Tensor:
        """x (b, t, c, h, w) at noise `level` (b, t), flags `observed` (b, t), `times` (b, t) in seconds
        and in order, `text` (b, t, d), `clean` (b, t, c, h, w) of which only observed frames are read
        -> what the core predicts, (b, t, c, h, w)."""
        observed = observed.to(x)
        seen = clean * observed[:, :, None, None, None]
        given = Given(x, level, times, seen, Told(observed, text), tracks)
        for route in self.routes:
            given = route(given)
        return self.core(given.x, given.level, given.times, given.told)


# ---- observed frames


class InPlace(Route):
    """Observed frames stand where they belong, without noise, and a channel says which they are.

    FDM (Harvey et al. 2022), RaMViD (Hoppe et al. 2022). The model has put them there already.
    """

    extra = 1

    def forward(self, given: Given) -> Given:
        return given.join(given.flags.expand_as(given.x[:, :, :1]))


class Emptied(Route):
    """Observed frames leave the noisy input, and take the targets' noise level: for routes that show them elsewhere."""

    def forward(self, given: Given) -> Given:
        level = torch.where(given.told.observed > 0, 0, given.level).amax(1, keepdim=True)
        empty = given.x * (1 - given.flags)
        return dataclasses.replace(given, x=empty, level=level.expand_as(given.level))


class Beside(Route):
    """Masked clean frames and the mask, joined to the channels (Blattmann et al. 2023; SEINE, Chen et al. 2023)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.extra = channels + 1

    def forward(self, given: Given) -> Given:
        mask = given.flags.expand_as(given.clean[:, :, :1])
        return given.join(torch.cat([given.clean, mask], 2))


class Nearest(Route):
    """The observed frames nearest in time, mixed by nearness, joined to every frame, and how far off they are."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.extra = channels + 2

    def forward(self, given: Given) -> Given:
        near, gap = nearest_observed(given.clean, given.told.observed, given.times)
        fading = torch.exp(-gap[..., None] / gap.new_tensor([0.8, 8.0]))[..., None, None]
        return given.join(torch.cat([near, fading.expand(-1, -1, -1, *near.shape[3:])], 2))


class EveryScale(Route):
    """Masked clean frames and the mask scale and shift features at every scale (NUWA-XL, Yin et al. 2023)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.maps = channels + 1

    def forward(self, given: Given) -> Given:
        mask = given.flags.expand_as(given.clean[:, :, :1])
        return given.show(torch.cat([given.clean, mask], 2))


class Reference(Route):
    """Frames attend to `grid` x `grid` summaries of every observed frame, which say how long ago it was.

    As reference images and the global context of LGC-VD (Yang et al. 2023) are attended to.
    """

    def __init__(self, channels: int, width: int = 64, grid: int = 2) -> None:
        super().__init__()
        self.context, self.grid = width, grid
        self.look = nn.Sequential(
            nn.Conv2d(channels + 1, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )
        self.ago = nn.Linear(16, width)
        self.place = nn.Parameter(0.1 * torch.randn(grid * grid, width))
        self.nothing = nn.Parameter(torch.zeros(width))

    def summaries(self, given: Given) -> Tensor:
        """(b, s, grid*grid, width) of every frame; of those not observed, `nothing`."""
        mask = given.flags.expand_as(given.clean[:, :, :1])
        found = self.look(torch.cat([given.clean, mask], 2).flatten(0, 1))
        found = F.adaptive_avg_pool2d(found, self.grid).flatten(2).transpose(1, 2)
        found = found.unflatten(0, mask.shape[:2]) + self.place
        return torch.where(given.flags[..., 0] > 0, found, self.nothing)

    def forward(self, given: Given) -> Given:
        found = self.summaries(given)
        apart = given.times[:, :, None] - given.times[:, None]
        when = self.ago(waves(apart, 8, 400.0, 1.0)) * given.told.observed[:, None, :, None]
        return given.mention((found[:, None] + when[:, :, :, None]).flatten(2, 3))


class Recall(Route):
    """A summary of all observed frames, added to what every frame is told as its text; nothing at first.

    As an encoder's global code is (LGC-VD; REncGAN3, Yang and Bors 2023).
    """

    def __init__(self, channels: int, text: int, width: int = 64) -> None:
        super().__init__()
        self.reader = Reference(channels, width)
        self.say = nn.Linear(width, text)
        nn.init.zeros_(self.say.weight)
        nn.init.zeros_(self.say.bias)

    def forward(self, given: Given) -> Given:
        flags = given.told.observed[:, :, None]
        found = (self.reader.summaries(given).mean(2) * flags).sum(1, keepdim=True)
        said = self.say(found / flags.sum(1, keepdim=True).clamp(min=1))
        text = given.told.text
        assert text is not None
        return given.tell(text=text + said)


class Trajectory(Route):
    """Motion from the first observed frame to every other, beside the frames and as something to attend to.

    The global trajectory of MV-Diffusion (Deng et al. 2023). flow: (n, c, h, w) twice -> (n, 2, h, w),
    in places; `displacement` where nothing better is at hand.
    """

    def __init__(
        self, flow: Callable[[Tensor, Tensor], Tensor], width: int = 32, grid: int = 4
    ) -> None:
        super().__init__()
        self.extra, self.context = 2, width
        self.flow, self.grid = flow, grid
        self.read = nn.Linear(3, width)
        self.place = nn.Parameter(0.1 * torch.randn(grid * grid, width))

    def forward(self, given: Given) -> Given:
        b, t, _, h, w = given.clean.shape
        flags = given.told.observed
        moved = self.flow(self.origins(given).flatten(0, 1), given.clean.flatten(0, 1))
        moved = moved.unflatten(0, (b, t)) * given.flags
        small = F.adaptive_avg_pool2d(moved.flatten(0, 1), self.grid).flatten(2).transpose(1, 2)
        rows = torch.cat(
            [small.unflatten(0, (b, t)), flags[:, :, None, None].expand(b, t, self.grid**2, 1)], -1
        )
        tokens = (self.read(rows) + self.place).flatten(1, 2)
        return given.join(moved).mention(tokens[:, None].expand(-1, t, -1, -1))

    def origins(self, given: Given) -> Tensor:
        """Whence each frame's motion is counted, (b, t, c, h, w)."""
        first = given.told.observed.argmax(1)  # the first of the largest
        start = given.clean[torch.arange(len(first), device=first.device), first]
        return start[:, None].expand_as(given.clean)


class Trend(Trajectory):
    """Motion from each observed frame to the next one."""

    def origins(self, given: Given) -> Tensor:
        return torch.cat([given.clean[:, :1], given.clean[:, :-1]], 1)


def displacement(a: Tensor, b: Tensor, reach: int = 3, sharpness: float = 20.0) -> Tensor:
    """How far each place of `a` (n, c, h, w) moved until `b`, (n, 2, h, w) in places, rows first.

    The mean displacement within `reach` under a softmax of how well 3x3 surroundings agree: flow
    without weights, for latents. Where nothing stands out it is small rather than wild.
    """
    side = 2 * reach + 1
    n, c, h, w = a.shape
    around = F.unfold(F.pad(b, [reach] * 4, mode="replicate"), side).view(n, c, side * side, h, w)
    cost = (around - a[:, :, None]).square().mean(1)
    cost = F.avg_pool2d(cost, 3, 1, 1, count_include_pad=False)
    scale = cost.mean((1, 2, 3), keepdim=True) + 1e-6
    steps = torch.arange(-reach, reach + 1, device=a.device, dtype=a.dtype)
    moves = torch.cartesian_prod(steps, steps)
    # Ties go to standing still.
    still = 1e-3 * moves.square().sum(1)[None, :, None, None]
    share = (-sharpness * cost / scale - still).softmax(1)
    return torch.einsum("nmhw,md->ndhw", share, moves)


# ---- control tracks


class TextTokens(Route):
    """The text track as `count` vectors to attend to, frame by frame, instead of one that scales and shifts."""

    def __init__(self, text: int, count: int) -> None:
        super().__init__()
        if text % count:
            raise ValueError(f"text of {text} numbers as {count} vectors; try a divisor")
        self.count, self.context = count, text // count

    def forward(self, given: Given) -> Given:
        text = given.told.text
        assert text is not None
        return given.mention(text.unflatten(-1, (self.count, -1)))


class Picture(Route):
    """A track of pictures, of any size, joined to the channels: a layout, a pose, a smaller film.

    noise: spread of noise laid over it in training, against trusting a smaller film's faults
    (Ho et al. 2022, section 4).
    """

    def __init__(self, name: str, channels: int, noise: float = 0.0) -> None:
        super().__init__()
        self.name, self.extra, self.noise = name, channels, noise

    def forward(self, given: Given) -> Given:
        picture = _resized(given.tracks[self.name], given.x)
        if self.training and self.noise:
            picture = picture + self.noise * torch.randn_like(picture)
        return given.join(picture)


class PictureEveryScale(Route):
    """A track of pictures that scales and shifts features at every scale."""

    def __init__(self, name: str, channels: int) -> None:
        super().__init__()
        self.name, self.maps = name, channels

    def forward(self, given: Given) -> Given:
        return given.show(_resized(given.tracks[self.name], given.x))


class ControlBranch(Route):
    """A copy of the way down that sees a track of pictures too, and adds to what the U-Net passes on.

    Nothing is added at first (ControlNet, Zhang et al. 2023; with time, Control-A-Video, Chen et al.
    2023). The U-Net itself is left to be frozen or not; last among the routes.
    """

    def __init__(self, net: FactorisedUNet, name: str, channels: int) -> None:
        super().__init__()
        self.name = name
        self.way = copy.deepcopy(net.down)
        old = self.way.enter
        self.way.enter = nn.Conv2d(old.in_channels + channels, old.out_channels, 3, padding=1)
        with torch.no_grad():
            self.way.enter.weight.zero_()
            self.way.enter.weight[:, : old.in_channels] = old.weight
            self.way.enter.bias.copy_(old.bias)
        shape = net.shape
        widths = [width for width in shape.widths for _ in range(shape.blocks)]
        self.leave = nn.ModuleList(nn.Conv2d(w, w, 1) for w in (*widths, widths[-1]))
        for zero in self.leave:
            nn.init.zeros_(zero.weight)
            nn.init.zeros_(zero.bias)

    def forward(self, given: Given) -> Given:
        picture = _resized(given.tracks[self.name], given.x)
        vector = self.way.signal(given.level, given.told)
        x = torch.cat([given.x, picture.to(given.x)], 2)
        middle, passed = self.way(x, given.times, vector, given.told)
        size = given.x.shape[:2]
        sides = [
            leave(y.flatten(0, 1)).unflatten(0, size)
            for leave, y in zip(self.leave, (*passed, middle), strict=True)
        ]
        return given.tell(sides=sides)


def raster(boxes: Tensor, kinds: Tensor, count: int, size: tuple[int, int]) -> Tensor:
    """Boxes (b, t, n, 4) of left, top, right, bottom in parts of the picture, and their kinds (b, t, n),
    -1 for none -> a layout (b, t, count, h, w): how much of a place boxes of a kind cover, at most 1."""
    h, w = size
    spans = []
    for low, high, places in ((1, 3, h), (0, 2, w)):
        edge = torch.arange(places, device=boxes.device)
        first, last = (boxes[..., n, None] * places for n in (low, high))
        spans.append((torch.minimum(last, edge + 1) - torch.maximum(first, edge)).clamp(0, 1))
    cover = spans[0][..., :, None] * spans[1][..., None, :]  # (b, t, n, h, w)
    kind = F.one_hot(kinds.clamp(min=0), count) * (kinds >= 0)[..., None]
    return torch.einsum("btnhw,btnk->btkhw", cover, kind.to(cover)).clamp(max=1)


def _resized(pictures: Tensor, like: Tensor) -> Tensor:
    size = like.shape[-2:]
    if pictures.shape[-2:] == size:
        return pictures
    wide = F.interpolate(pictures.flatten(0, 1), size, mode="bilinear", antialias=True)
    return wide.unflatten(0, pictures.shape[:2])
