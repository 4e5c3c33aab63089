"""Protocols: everything about a way to measure that changes its numbers, in one name. No torch.

A protocol's name carries its features, clip length, stride, resizing, crop, number of samples,
statistic and version. Scores of two names do not compare (`Score`), so a difference in any of them
shows. Those of the literature stand in PROTOCOLS under the names papers use.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from longtake.errors import InputError, nearest


@dataclasses.dataclass(frozen=True)
class Protocol:
    """One way to measure a sample of videos.

    title: what people call it. frames, stride: of a clip, in frames of the video; frames=1 for
    pictures. resize, crop: how a frame comes to the network's size, and what of it. samples, real: how
    many clips of either side; 0 is all there are, and then the number measured is part of the name.
    clips: which clips of a video are taken. source: the paper; note: what to mind. Neither source
    nor note is part of the name.
    """

    title: str
    statistic: str
    features: str
    frames: int = 16
    stride: int = 1
    resize: str = "bilinear-224"
    crop: str = "whole"
    samples: int = 2048
    real: int = 2048
    clips: str = "one random clip a video"
    version: int = 1
    source: str = ""
    note: str = ""

    @property
    def name(self) -> str:
        """The whole of it, in one word."""
        shape = f"{self.frames}f-stride{self.stride}-{self.resize}-{self.crop}"
        counts = f"n{self.samples or 'all'}-vs-{self.real or 'all'}"
        clips = self.clips.replace(" ", "-")
        return f"{self.title}[{self.statistic}/{self.features}/{shape}/{clips}/{counts}/v{self.version}]"

    def of(self, samples: int, real: int) -> Protocol:
        """The protocol with the numbers that were measured, where it leaves them open.

        InputError where it does not and they differ: a distance of fewer samples is a larger number.
        """
        for asked, found, side in (
            (self.samples, samples, "samples"),
            (self.real, real, "reference"),
        ):
            if asked and asked != found:
                what = f"{found} clips of the {side}, and {self.title} wants {asked}"
                raise InputError(what, "protocol", f"{asked} clips, or a protocol of another name")
        return dataclasses.replace(self, samples=samples, real=real)


ONE_CLIP = "one random clip a video"
BY_POSITION = "frames by position"
_I3D = "i3d-kinetics400"
_FVD = "Unterthiner et al. 2018"
_STYLEGAN_V = f"{_FVD}; Skorokhodov et al. 2022 (StyleGAN-V)"
SHORT_SIDE = "short-side-crop"
_TATS_NOTE = "over ten runs, with their deviation; real clips of the training split"
_BAIR_NOTE = "1 observed frame, 15 predicted; numbers for 2 observed frames do not compare"

_ALL = (
    Protocol("fvd2048_16f", "frechet", _I3D, source=_STYLEGAN_V),
    Protocol("fvd2048_128f", "frechet", _I3D, 128, source=_STYLEGAN_V),
    Protocol(
        "fvd2048_128f_subsample8f", "frechet", _I3D, 16, 8, source=_STYLEGAN_V, note="16 of 128"
    ),
    Protocol("kvd2048_16f", "kernel-poly3", _I3D, source=_FVD, note="not multiplied by 1000"),
    Protocol(
        "tats-fvd", "frechet", _I3D, crop="squeezed", source="Ge et al. 2022", note=_TATS_NOTE
    ),
    Protocol(
        "tats-kvd", "kernel-poly3", _I3D, crop="squeezed", source="Ge et al. 2022", note=_TATS_NOTE
    ),
    Protocol(
        "digan-fvd", "frechet", _I3D, crop=SHORT_SIDE, source="Yu et al. 2022", note=_TATS_NOTE
    ),
    Protocol("digan-kvd", "kernel-poly3", _I3D, crop=SHORT_SIDE, source="Yu et al. 2022"),
    Protocol("pvdm-fvd2048_16f", "frechet", _I3D, crop=SHORT_SIDE, source="Yu et al. 2023"),
    Protocol("pvdm-fvd2048_128f", "frechet", _I3D, 128, crop=SHORT_SIDE, source="Yu et al. 2023"),
    Protocol(
        "magvit-bair-biased",
        "frechet",
        _I3D,
        samples=25_600,
        real=256,
        clips="100 samples of each of 256 test videos",
        source="Yu et al. 2023 (MAGVIT)",
        note=f"{_BAIR_NOTE}; 256 real clips repeated, which makes it too large",
    ),
    Protocol(
        "magvit-bair-debiased",
        "frechet",
        _I3D,
        samples=0,
        real=0,
        clips="every window of 16 of the test videos",
        source="Yu et al. 2023 (MAGVIT)",
        note=f"{_BAIR_NOTE}; as we read the paper: real windows at every start, not repeated",
    ),
    Protocol(
        "fid50k_full",
        "frechet",
        "inception-2015-12-05-pool3",
        1,
        resize="tf1-bilinear-299",
        samples=50_000,
        real=0,
        clips="frames",
        source="Heusel et al. 2017",
    ),
    Protocol(
        "avg-fid",
        "frechet",
        "inception-2015-12-05-pool3",
        16,
        8,
        resize="tf1-bilinear-299",
        samples=0,
        real=0,
        clips=BY_POSITION,
        source="Yin et al. 2023 (NUWA-XL)",
        note="the mean over 16 positions, 8 frames apart, of the distance of frames there",
    ),
    Protocol(
        "avg-effnet",
        "frechet",
        "efficientnet-lite0-pool",
        16,
        8,
        resize="bilinear-antialias-224",
        crop=SHORT_SIDE,
        samples=0,
        real=0,
        clips=BY_POSITION,
        note="as avg-fid through features that install with longtake[metrics]: not FID",
    ),
    Protocol(
        "fid-infinity",
        "frechet-extrapolated-15",
        "inception-2015-12-05-pool3",
        1,
        resize="tf1-bilinear-299",
        samples=0,
        real=0,
        clips="frames",
        source="Chong and Forsyth 2020",
    ),
    Protocol(
        "isv2048_ucf",
        "inception-10-splits",
        "c3d-ucf101-logits",
        resize="bilinear-112",
        real=0,
        source="Salimans et al. 2016; Saito et al. 2020",
        note="a number only for models of UCF-101",
    ),
    Protocol(
        "clipsim-b32",
        "mean-cosine",
        "clip-vit-base-patch32",
        1,
        resize="bicubic-224",
        crop="centre",
        samples=0,
        real=0,
        clips="all frames",
        source="Wu et al. 2021 (GODIVA); Radford et al. 2021",
    ),
    Protocol(
        "lpips-alex",
        "lpips-0.1",
        "alexnet",
        1,
        resize="none",
        samples=0,
        real=0,
        clips="all frames",
        source="Zhang et al. 2018",
    ),
    Protocol(
        "lpips-vgg",
        "lpips-0.1",
        "vgg16",
        1,
        resize="none",
        samples=0,
        real=0,
        clips="all frames",
        source="Zhang et al. 2018",
    ),
    Protocol(
        "tfvd-set",
        "frechet",
        "tfvd-1",
        resize="bilinear-antialias-64",
        crop=SHORT_SIDE,
        samples=0,
        real=0,
        note="the project's own features: not FVD",
    ),
)
PROTOCOLS: Mapping[str, Protocol] = {protocol.title: protocol for protocol in _ALL}


def find_protocol(title: str) -> Protocol:
    """The protocol people call so; `best-of-N-METRIC` for any N. InputError with the nearest title."""
    if title in PROTOCOLS:
        return PROTOCOLS[title]
    head, mark, rest = title.partition("best-of-")
    count, _, metric = rest.partition("-")
    if mark and not head and count.isdigit() and int(count) > 0 and metric in _SINGLE:
        return Protocol(
            title,
            f"best-of-{int(count)}",
            metric,
            1,
            resize="none",
            samples=int(count),
            real=1,
            clips="whole prediction",
            source="Denton and Fergus 2018",
            note="the best by this metric of N predictions of each video, then the mean",
        )
    raise InputError(f"unknown protocol '{title}'", "protocol", nearest(title, PROTOCOLS))


_SINGLE = ("psnr", "ssim", "ms-ssim", "lpips")
