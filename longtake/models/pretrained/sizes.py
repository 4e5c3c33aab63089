"""What published pipelines need, so that it can be said before any download. No torch here.

Sizes are those of their model cards and configurations, rounded; seconds are arithmetic, not measured.
"""

from __future__ import annotations

import dataclasses

BUSY = 0.4  # of a device's speed in large products of matrices, what a whole network reaches
WORK = 4e9  # bytes beside the weights: activations of a clip and of its decoding
_T5, _UMT5 = 4.8e9, 5.7e9


@dataclasses.dataclass(frozen=True)
class Known:
    """A published pipeline. net, others: parameters; layers, width, tokens: of its network on one clip.

    steps, passes: of the network for a clip, as its pipeline's defaults have it. frames, fps: of a clip.
    """

    hub_id: str
    net: float
    others: float
    layers: int
    width: int
    tokens: int
    steps: int
    passes: int
    size: tuple[int, int]
    frames: int
    fps: float

    def weights(self, bytes_each: int = 2) -> float:
        """Bytes of all weights."""
        return bytes_each * (self.net + self.others)

    def most(self, bytes_each: int = 2) -> float:
        """Bytes of its largest part, what has to fit where the others wait in main memory."""
        return bytes_each * max(self.net, self.others)

    @property
    def arithmetic(self) -> float:
        """Floating point operations of a clip: weights times tokens, and attention of all to all."""
        n = self.tokens
        once = 2 * self.net * n + 4 * self.layers * self.width * n * n
        return self.steps * self.passes * once

    def fits(self, room: float, main: float, bytes_each: int = 2) -> str:
        """How it runs in `room` bytes on a device that has `main` bytes of main memory beside; "" if not."""
        if self.weights(bytes_each) + WORK <= room:
            return "fits"
        if self.most(bytes_each) + WORK <= room and self.weights(bytes_each) <= main:
            return "fits with offload=model"
        small = max(self.net, bytes_each * self.others)  # of the network a byte a weight
        if bytes_each > 1 and small + WORK <= room and self.weights(bytes_each) <= main:
            return "fits with offload=model and quantise=float8"
        if room >= 2 * WORK and self.weights(bytes_each) <= main:
            return "fits with offload=group"
        return ""

    def seconds(self, speed: float) -> float:
        """For a clip, on a device of `speed` operations a second in products of matrices."""
        return self.arithmetic / (BUSY * speed)


# fmt: off
KNOWN: tuple[Known, ...] = (
    Known("Wan-AI/Wan2.1-T2V-1.3B-Diffusers", 1.4e9, _UMT5, 30, 1536, 32760, 50, 2, (832, 480), 81, 16),
    Known("Wan-AI/Wan2.1-T2V-14B-Diffusers", 14.3e9, _UMT5, 40, 5120, 32760, 50, 2, (832, 480), 81, 16),
    Known("Wan-AI/Wan2.2-TI2V-5B-Diffusers", 5e9, _UMT5, 30, 3072, 27280, 50, 2, (1280, 704), 121, 24),
    Known("Lightricks/LTX-Video", 1.9e9, _T5, 28, 2048, 7392, 50, 2, (704, 512), 161, 25),
    Known("Lightricks/LTX-2", 18.9e9, 15e9, 48, 4096, 6144, 30, 4, (768, 512), 121, 24),
    Known("zai-org/CogVideoX-2b", 1.7e9, _T5, 30, 1920, 17776, 50, 2, (720, 480), 49, 8),
    Known("zai-org/CogVideoX-5b", 5.6e9, _T5, 42, 3072, 17776, 50, 2, (720, 480), 49, 8),
    Known("Skywork/SkyReels-V2-DF-1.3B-540P-Diffusers", 1.4e9, _UMT5, 30, 1536, 51000, 50, 2, (960, 544), 97, 24),
    Known("Skywork/SkyReels-V2-DF-14B-540P-Diffusers", 14.3e9, _UMT5, 40, 5120, 51000, 50, 2, (960, 544), 97, 24),
    Known("hunyuanvideo-community/HunyuanVideo", 12.8e9, 8.2e9, 60, 3072, 118800, 50, 1, (1280, 720), 129, 24),
    Known("genmo/mochi-1-preview", 10e9, _T5, 48, 3072, 44520, 64, 2, (848, 480), 163, 30),
)
# fmt: on
