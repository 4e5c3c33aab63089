"""Write clips as other programs leave them: MPEG-4 in AVI, as older datasets are."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
from av.codec.context import Flags
from torch import Tensor

from longtake.video.encoding import saving, video_frame


def write_avi(path: Path, frames: Tensor, fps: Fraction | int) -> None:
    """Frames (t, 3, h, w) uint8 as MPEG-4 part 2 in AVI; the same bytes for the same frames."""
    with saving(path), av.open(f"file:{path}", "w", options={"fflags": "+bitexact"}) as container:
        options = {"q": "3", "g": "12", "threads": "1"}
        stream = container.add_stream("mpeg4", rate=Fraction(fps), options=options)
        stream.height, stream.width = frames.shape[-2:]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.flags |= Flags.bitexact | Flags.qscale
        stream.codec_context.global_quality = 3 * 118  # FF_QP2LAMBDA
        for frame in frames:
            container.mux(stream.encode(video_frame(frame)))
        container.mux(stream.encode(None))
