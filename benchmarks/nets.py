"""Networks and codecs beside diffusers' and transformers' of equal size, and how cost grows with length.

    python benchmarks/nets.py                              # all; JSON lines
    python benchmarks/nets.py --case gpt --rounds 9 --record
    python benchmarks/nets.py --page                       # docs/costs.md from what is recorded

Both sides of a case run in turn in one process on one thread, round after round; a figure is the median of the
rounds' ratios, theirs by ours, in processor seconds, so that another busy process slows neither. `--record`
puts it into benchmarks/nets.json. Exit code 1 if a case is outside its bar.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor, nn

from longtake.clip import Clip, ClipRequest, ClipSpec, Noise
from longtake.controls import Controls
from longtake.lab.costs import growth
from longtake.lab.shared import SHAPES
from longtake.models.masked import masked_loss
from longtake.models.sheets import laid
from longtake.models.tokens import TokenModel
from longtake.nets.convolutional import KLVideo, VideoShape, VQVideo
from longtake.nets.gpt import GPT
from longtake.nets.masked import BottleneckTransformer, MaskedTransformer
from longtake.nets.packed import PackedShape, PackedTransformer
from longtake.nets.planar import PlaneUNet
from longtake.nets.quantise import VectorQuantiser
from longtake.nets.tokens import TokenShape
from longtake.nets.unet import FactorisedUNet, Told, UNetShape
from longtake.system import Measured

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).with_name("nets.json")
PAGE = ROOT / "docs" / "costs.md"
LINEAR = 1.15  # the largest exponent that counts as linear

Line = dict[str, Any]
Work = Callable[[], object]


@dataclasses.dataclass(frozen=True)
class Pair:
    """Ours and theirs, as networks and as what is timed."""

    ours: nn.Module
    theirs: nn.Module
    run_ours: Work
    run_theirs: Work


@dataclasses.dataclass(frozen=True)
class Case:
    """A comparison. least: of theirs by ours, in seconds."""

    name: str
    told: str
    least: float
    make: Callable[[], Pair]


def step(net: nn.Module, call: Callable[[], Tensor]) -> Work:
    """Forward and backward."""

    def run() -> None:
        net.zero_grad(set_to_none=True)
        call().square().mean().backward()

    return run


def forward(net: nn.Module, call: Callable[[], Tensor]) -> Work:
    """Forward alone."""

    def run() -> None:
        with torch.no_grad():
            call()

    return run


Mode = Callable[[nn.Module, Callable[[], Tensor]], Work]


def decoding(width: int, blocks: int) -> Pair:
    """256 tokens after a prefix of 64, four samples, drawn from all codes, by a cache."""
    from transformers import GPT2Config, GPT2LMHeadModel

    codes, head = 512, 32
    ours = GPT(TokenShape(codes, width, blocks, head, ratio=4))
    theirs = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=codes, n_positions=320, n_embd=width, n_layer=blocks, n_head=width // head,
            bos_token_id=0, eos_token_id=None,
        )
    ).eval()  # fmt: skip
    model = TokenModel(ours, ClipSpec(5, (1, None, None), "", codes=codes))
    prefix = torch.randint(codes, (4, 1, 1, 8, 8))
    count = iter(range(10**6))

    def run_ours() -> object:
        seen = Clip((prefix + next(count)) % codes, (0,))  # another prefix: nothing is kept of it
        asked = ClipRequest((1, 2, 3, 4), seen, Controls(), Noise(0), (1, 8, 8), (0, 1, 2, 3))
        return model.sample(asked)

    def run_theirs() -> object:
        ids = prefix.flatten(1)
        return theirs.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=256,
            do_sample=True,
            top_k=0,
            use_cache=True,
            pad_token_id=0,
        )

    return Pair(ours, theirs, run_ours, run_theirs)


def unets(mode: Mode) -> Pair:
    """8 frames of 16x16 latents; filters, attention in space, to 4 vectors of text, and in time."""
    from diffusers import UNet3DConditionModel

    shape = UNetShape(
        channels=8, context=64, widths=(80, 160), blocks=1, attends=(True, True), head=16
    )
    ours = FactorisedUNet(shape)
    theirs = UNet3DConditionModel(
        in_channels=8,
        out_channels=8,
        block_out_channels=(48, 96),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock3D", "CrossAttnDownBlock3D"),
        up_block_types=("CrossAttnUpBlock3D", "CrossAttnUpBlock3D"),
        norm_num_groups=16,
        cross_attention_dim=64,
        attention_head_dim=16,
    )
    x, text = torch.randn(2, 8, 8, 16, 16), torch.randn(2, 8, 4, 64)
    level, times = torch.rand(2, 1).expand(2, 8), torch.arange(8).expand(2, 8) / 10
    told = Told(torch.zeros(2, 8), None, context=text)
    movie = x.transpose(1, 2).contiguous()
    moment = torch.tensor([10, 500])
    return Pair(
        ours,
        theirs,
        mode(ours, lambda: ours(x, level, times, told)),
        mode(theirs, lambda: theirs(movie, moment, text[:, 0]).sample),
    )


def transformers_(mode: Mode) -> Pair:
    """8 frames of 16x16 latents in patches of 2: 512 tokens that all see each other."""
    from diffusers import CogVideoXTransformer3DModel

    ours = PackedTransformer(PackedShape(channels=8, width=192, blocks=4, ratio=4))
    theirs = CogVideoXTransformer3DModel(
        num_attention_heads=6,
        attention_head_dim=32,
        in_channels=8,
        out_channels=8,
        num_layers=4,
        time_embed_dim=64,
        text_embed_dim=32,
        max_text_seq_length=1,
        sample_width=16,
        sample_height=16,
        sample_frames=29,
        use_rotary_positional_embeddings=False,
    )
    x, level = torch.randn(2, 8, 8, 16, 16), torch.rand(2, 1).expand(2, 8)
    times, told = torch.arange(8).expand(2, 8) / 10, Told(torch.zeros(2, 8), None)
    moment, text = torch.tensor([10, 500]), torch.randn(2, 1, 32)
    return Pair(
        ours,
        theirs,
        mode(ours, lambda: ours(x, level, times, told)),
        mode(theirs, lambda: theirs(x, text, moment).sample),
    )


def pictures_kl(mode: Mode) -> Pair:
    """16 frames of 64x64, each by itself, to 8 numbers for 8x8 pixels, and back; ours takes 2x2 pixels as a place."""
    from diffusers import AutoencoderKL

    ours = KLVideo(SHAPES["kl"])
    theirs = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(24, 48, 48, 48),
        layers_per_block=1,
        latent_channels=8,
        norm_num_groups=8,
        mid_block_add_attention=False,
    )
    return _coded(ours, theirs, mode, {})


def films_kl(mode: Mode) -> Pair:
    """The same with layers across time in the decoder; ours has them in the encoder as well."""
    from diffusers import AutoencoderKLTemporalDecoder

    ours = KLVideo(VideoShape(8, (32, 48, 64), (False, False), taps=3, patch=(1, 2)))
    theirs = AutoencoderKLTemporalDecoder(
        down_block_types=("DownEncoderBlock2D",) * 4,
        block_out_channels=(32, 32, 32, 64),
        layers_per_block=1,
        latent_channels=8,
    )
    return _coded(ours, theirs, mode, {"num_frames": 8})


def pictures_vq(mode: Mode) -> Pair:
    """The same as the first, to one of 512 codes."""
    from diffusers import VQModel

    ours = VQVideo(SHAPES["kl"], VectorQuantiser(512, 8))
    theirs = VQModel(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(24, 48, 48, 48),
        layers_per_block=1,
        latent_channels=8,
        norm_num_groups=8,
        num_vq_embeddings=512,
        mid_block_add_attention=False,
    )
    return _coded(ours, theirs, mode, {})


def _coded(ours: nn.Module, theirs: nn.Module, mode: Mode, more: Mapping[str, Any]) -> Pair:
    video = torch.rand(2, 8, 3, 64, 64) * 2 - 1
    flat = video.flatten(0, 1)

    def there_and_back() -> Tensor:
        found = ours(video)
        return found[0] if isinstance(found, tuple) else found

    return Pair(
        ours,
        theirs,
        mode(ours, there_and_back),
        mode(theirs, lambda: theirs(flat, **more).sample),
    )


def _cases() -> Iterator[Case]:
    for name, width, blocks in (("gpt-small", 160, 4), ("gpt", 256, 6)):
        told = f"256 tokens with a cache, {blocks} blocks of {width}; `GPT2LMHeadModel.generate`"
        yield Case(name, told, 1.5, functools.partial(decoding, width, blocks))
    sides = {
        "unet": ("U-Net; `UNet3DConditionModel`", unets),
        "transformer": ("transformer; `CogVideoXTransformer3DModel`", transformers_),
        "codec": ("KL codec of frames; `AutoencoderKL`", pictures_kl),
        "codec-time": ("KL codec with time; `AutoencoderKLTemporalDecoder`", films_kl),
        "codec-vq": ("codec of codes; `VQModel`", pictures_vq),
    }
    for name, (told, make) in sides.items():
        for mode in (forward, step):
            what = "forward" if mode is forward else "training step"
            yield Case(
                f"{name}-{mode.__name__}",
                f"{told}, {what}",
                1.0,
                functools.partial(make, mode),
            )


CASES = {case.name: case for case in _cases()}


def spent(work: Work) -> float:
    """Processor seconds."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def measured(case: Case, rounds: int) -> Line:
    """A case's figures: seconds of every round, the ratios' median, least and most."""
    torch.manual_seed(0)
    pair = case.make()
    pair.run_ours()
    pair.run_theirs()
    seconds = []
    for number in range(rounds):
        if number % 2:
            theirs, ours = spent(pair.run_theirs), spent(pair.run_ours)
        else:
            ours, theirs = spent(pair.run_ours), spent(pair.run_theirs)
        seconds.append((ours, theirs))
    ratios = [theirs / ours for ours, theirs in seconds]
    return {
        "case": case.name,
        "ratio": round(statistics.median(ratios), 3),
        "spread": [round(min(ratios), 3), round(max(ratios), 3)],
        "least": case.least,
        "holds": statistics.median(ratios) >= case.least,
        "parameters": [
            sum(p.numel() for p in net.parameters()) for net in (pair.ours, pair.theirs)
        ],
        "seconds": [[round(a, 5), round(b, 5)] for a, b in seconds],
        "with": machine(),
    }


# ---- growth with length

PLANES = 16  # frames of a clip in three planes


def coded_step(net: Any, frames: int) -> Tensor:
    """A masked net's loss on frames of 8x8 codes."""
    codes = torch.randint(net.shape.codes, (1, frames, 1, 8, 8))
    return masked_loss(net, laid(codes, torch.arange(frames)[None], 0))


def framed_step(net: Any, frames: int) -> Tensor:
    """A denoiser's loss on frames of 16x16 latents: as frames, or as clips in three planes."""
    count = frames // PLANES if isinstance(net, PlaneUNet) else frames
    x, times = torch.randn(1, count, net.shape.channels, 16, 16), torch.arange(count)[None] / 10
    found = net(x, torch.rand(1, count), times, Told(torch.zeros(1, count), None))
    return found.square().mean((1, 2, 3, 4))


def grown(rounds: int) -> Line:
    """Processor seconds and bytes kept of a training step from 16 to 128 frames, and their exponents."""
    torch.manual_seed(0)
    tokens = TokenShape(512, width=64, blocks=2)
    planes = UNetShape(channels=12, widths=(32, 64), attends=(True, True))
    coded = {
        "latent bottleneck": BottleneckTransformer(tokens),
        "masked": MaskedTransformer(tokens),
    }
    framed = {
        "three planes": PlaneUNet(planes, PLANES),
        "packed": PackedTransformer(PackedShape(channels=4, width=64, blocks=2)),
    }
    found: dict[str, dict[str, Any]] = {}
    for nets, loss in ((coded, coded_step), (framed, framed_step)):
        for line in growth(nets, loss, (16, 32, 64, 128), rounds):
            kind = "bytes" if "bytes" in line.quantity else "seconds"
            if isinstance(line, Measured):
                found[line.arm][f"{kind} exponent"] = round(line.value, 3)
            else:
                told = found.setdefault(line.arm, {"frames": line.x})
                told[kind] = [round(value, 4) for value in line.y]
    linear = [found[arm] for arm in ("latent bottleneck", "three planes")]
    exponents = [told[f"{kind} exponent"] for told in linear for kind in ("seconds", "bytes")]
    return {"case": "growth", "nets": found, "holds": max(exponents) <= LINEAR, "with": machine()}


def page(results: Mapping[str, Line]) -> str:
    """docs/costs.md."""
    lines = [
        "# What networks and codecs cost",
        "",
        "Made by `python benchmarks/nets.py --page` from `benchmarks/nets.json`; do not edit.",
        "",
        "## Beside others",
        "",
        "Theirs by ours in processor seconds, both of about as many parameters and the same inputs, in turn in one process on one thread: the",
        "median of the rounds, least and most in brackets. Above 1, ours is faster.",
        "",
        "| case | ratio | must be | rounds | parameters, ours and theirs |",
        "|---|---|---|---|---|",
    ]
    for case in CASES.values():
        told = results.get(case.name)
        if told is None:
            lines.append(f"| {case.told} | not measured yet | >= {case.least:g} | | |")
            continue
        low, high = told["spread"]
        bar = f">= {case.least:g}" + ("" if told["holds"] else ": **missed**")
        ours, theirs = told["parameters"]
        figures = f"{told['ratio']:.2f} ({low:.2f}-{high:.2f}) | {bar} | {len(told['seconds'])}"
        lines.append(f"| {case.told} | {figures} | {ours:,} and {theirs:,} |")
    lines += ["", "## Growth with length", ""]
    told = results.get("growth")
    if told is None:
        return "\n".join([*lines, "Not measured yet."]) + "\n"
    frames = next(iter(told["nets"].values()))["frames"]
    lines += [
        "A training step on so many frames of 64 places: processor seconds, and MiB kept for the backward pass; p of length^p, which",
        f"must be at most {LINEAR} for the latent bottleneck and for three planes (clips of {PLANES} frames in a row).",
        "",
        f"| net | {' | '.join(f'{n:g} frames' for n in frames)} | p of seconds | p of bytes |",
        f"|---|{'---|' * len(frames)}---|---|",
    ]
    for arm, row in told["nets"].items():
        cells = [
            f"{second:.2f} s, {size / 2**20:.0f} MiB"
            for second, size in zip(row["seconds"], row["bytes"], strict=True)
        ]
        ends = f"{row['seconds exponent']:.2f} | {row['bytes exponent']:.2f}"
        lines.append(f"| {arm} | {' | '.join(cells)} | {ends} |")
    return "\n".join(lines) + "\n"


def known() -> dict[str, Line]:
    """What is recorded."""
    found: dict[str, Line] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return found


def machine() -> Line:
    """What it was measured with."""
    import diffusers
    import transformers

    return {
        "cores": os.cpu_count(),
        "system": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
    }


@click.command()
@click.option("--case", "names", multiple=True, type=click.Choice([*CASES, "growth"]))
@click.option("--rounds", default=5, type=click.IntRange(5))
@click.option("--record", is_flag=True, help="Keep the figures, and make docs/costs.md.")
@click.option("--page", "only_page", is_flag=True, help="Only make docs/costs.md.")
def main(names: Sequence[str], rounds: int, record: bool, only_page: bool) -> None:
    """Measure."""
    torch.set_num_threads(1)
    results, missed = known(), False
    for name in () if only_page else (*CASES, "growth"):
        if not names or name in names:
            line = grown(rounds) if name == "growth" else measured(CASES[name], rounds)
            click.echo(json.dumps(line))
            results[name] = line
            missed |= not line["holds"]
            if record:
                RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    if record or only_page:
        PAGE.write_text(page(results), encoding="utf-8")
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
