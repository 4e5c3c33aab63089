"""A LoRA that teaches a pipeline's network to observe any frames, and its file."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from longtake.errors import InputError
from longtake.models.pretrained.families import OBSERVING, Family
from longtake.models.pretrained.levels import levelled

ADAPTER = "observing"
NOTE = "longtake"  # what a file says of itself, as JSON in its header
FILE = "observes-any.safetensors"


@dataclasses.dataclass(frozen=True)
class Heard:
    """What a text encoder said of a prompt: (1, n, d), and which of its tokens count, (1, n), if it says so."""

    embeds: Tensor
    mask: Tensor | None = None


class Observing(nn.Module):
    """The LoRA of a pipeline's network. Its own weights stay as they are, and are no weights of this module.

    rank: of every matrix that is added to a linear layer of the network's blocks; none changes anything at
    first. InputError for a pipeline whose network takes one noise level for all frames.
    """

    def __init__(self, pipe: Any, family: Family, rank: int) -> None:
        super().__init__()
        from peft import LoraConfig

        kind = type(pipe).__name__
        if kind not in OBSERVING or getattr(pipe, "transformer_2", None) is not None:
            what = (
                f"{kind} cannot be taught to observe any frames: its network takes no level of each"
            )
            raise InputError(what, "longtake train", ", ".join(OBSERVING))
        net = pipe.transformer.requires_grad_(False).eval()
        config = LoraConfig(r=rank, lora_alpha=rank, target_modules=sorted(_layers(net)))
        net.add_adapter(config, adapter_name=ADAPTER)
        held = {name: p for name, p in net.named_parameters() if p.requires_grad}
        for p in held.values():
            p.data = p.data.float()
        self.added = nn.ParameterDict({name.replace(".", "/"): p for name, p in held.items()})
        # past the module's bookkeeping, or the network's weights would be its own
        self.__dict__.update(pipe=pipe, net=net, family=family)

    def predicted(self, x: Tensor, times: Tensor, heard: Sequence[Heard]) -> Tensor:
        """The network's velocity for latents (b, c, s, h, w), of which every frame has its time (b, s)."""
        net, pipe = self.net, self.pipe
        words = torch.cat([one.embeds for one in heard]).to(x.device, net.dtype)
        told: dict[str, Any] = {"encoder_hidden_states": words, "return_dict": False}
        frames, high, wide = x.shape[2:]
        if self.family.layout == "packed":
            sizes = (pipe.transformer_spatial_patch_size, pipe.transformer_temporal_patch_size)
            ratio = pipe.vae_spatial_compression_ratio
            rate = pipe.vae_temporal_compression_ratio / self.family.fps
            told |= {"num_frames": frames, "height": high, "width": wide}
            told["rope_interpolation_scale"] = (rate, ratio, ratio)
            told["encoder_attention_mask"] = torch.cat([one.mask for one in heard]).to(x.device)  # type: ignore[misc]
            laid = pipe._pack_latents(x, *sizes)
            per = laid.shape[1] // frames
            told |= levelled(times, per, self.family.levels)
            made = net(laid.to(net.dtype), **told)[0]
            unpacked: Tensor = pipe._unpack_latents(made, frames, high, wide, *sizes)
            return unpacked.float()
        patch = net.config.patch_size
        per = (high // patch[1]) * (wide // patch[2])
        told |= levelled(times, per, self.family.levels)
        velocity: Tensor = net(x.to(net.dtype), **told)[0]
        return velocity.float()

    def losses(
        self, latents: Tensor, observed: Tensor, heard: Sequence[Heard]
    ) -> Mapping[str, Tensor]:
        """Flow matching (Lipman et al. 2023) on frames not observed, (b,). latents: (b, c, s, h, w);
        observed: (b, s), True where a frame is shown clean.
        """
        b, seen = len(latents), observed[:, None, :, None, None]
        shift = _shift(self.pipe.scheduler)
        drawn = torch.rand(b, 1).to(latents)
        sigma = shift * drawn / (1 + (shift - 1) * drawn)
        noise = torch.randn(latents.shape).to(latents)
        level = sigma[:, :, None, None, None]
        mixed = torch.where(seen, latents, (1 - level) * latents + level * noise)
        found = self.predicted(mixed, 1000 * sigma * ~observed, heard)
        wrong = ((found - (noise - latents)) ** 2).mean(dim=(1, 3, 4))
        return {"flow": (wrong * ~observed).sum(1) / (~observed).sum(1)}

    def save(self, folder: Path) -> Path:
        """The LoRA as diffusers writes it, whose header says what it teaches; appears whole."""
        from peft import get_peft_model_state_dict

        layers = get_peft_model_state_dict(self.net, adapter_name=ADAPTER)
        part = f".{FILE}.{os.getpid()}"
        self.pipe.save_lora_weights(str(folder), transformer_lora_layers=layers, weight_name=part)
        with safe_open(folder / part, "pt") as file:
            notes = dict(file.metadata() or {})
        notes[NOTE] = json.dumps({"observes": "any", "class": type(self.pipe).__name__})
        tensors = load_file(folder / part)
        save_file(tensors, folder / part, notes)
        os.replace(folder / part, folder / FILE)
        return folder / FILE


def masks(count: int, frames: int) -> Tensor:
    """Which frames are observed, (count, frames): none, a beginning, an end, both, or any; never all.

    A tenth observe nothing, so that films still begin; drawn with torch's own generator.
    """
    rows = torch.zeros(count, frames, dtype=torch.bool)
    for row in rows:
        kind, most = float(torch.rand(())), max(1, frames // 2)
        few = 1 + int(torch.randint(most, ()))
        if 0.1 <= kind < 0.4:
            row[:few] = True
        elif 0.4 <= kind < 0.5:
            row[-few:] = True
        elif 0.5 <= kind < 0.7:
            row[0] = row[-1] = True
        elif kind >= 0.7:
            row |= torch.rand(frames) < torch.rand(())
        if row.all():
            row[int(torch.randint(frames, ()))] = False
    return rows


def heard(pipe: Any, prompt: str) -> Heard:
    """What the pipeline's text encoder says of a prompt."""
    with torch.no_grad():
        made = pipe.encode_prompt(prompt, do_classifier_free_guidance=False)
    mask = made[1] if len(made) > 2 else None
    return Heard(made[0].cpu(), None if mask is None else mask.cpu())


def _layers(net: nn.Module) -> set[str]:
    """Linear layers of the network's repeated blocks, by what follows a block's number."""
    found = set()
    for name, module in net.named_modules():
        parts = name.split(".")
        if isinstance(module, nn.Linear) and "blocks" in parts[0] and parts[1].isdigit():
            found.add(".".join(parts[2:]))
    return found


def _shift(scheduler: Any) -> float:
    """How far a flow's levels lean to noise: as the pipeline's sampler has it."""
    config = scheduler.config
    return float(config.get("flow_shift") or config.get("shift") or 1.0)
