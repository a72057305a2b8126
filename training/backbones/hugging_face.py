"""Hugging Face transformers' names of tensors, turned into those of the networks' own authors.

Its classes of ConvNeXt, ConvNeXt V2, ViT, DeiT and DINOv2, with or without a classifier. timm converts the
authors' files itself, so that these are all the names that it lacks.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from training.backbones.backbone import State

_PREFIX = re.compile(r"^(vit|deit|dinov2|dinov2_with_registers|convnext|convnextv2)\.")
_CONVNEXT = re.compile(r"encoder\.stages\.\d+\.layers\.")
_TRANSFORMER = re.compile(r"encoder\.layer\.\d+\.attention\.attention\.query\.")

# To the names of Meta's ConvNeXt.
_CONVNEXT_NAMES = (
    (r"^embeddings\.patch_embeddings\.", "downsample_layers.0.0."),
    (r"^embeddings\.layernorm\.", "downsample_layers.0.1."),
    (r"^encoder\.stages\.(\d+)\.downsampling_layer\.(\d+)\.", r"downsample_layers.\1.\2."),
    (r"^encoder\.stages\.(\d+)\.layers\.(\d+)\.", r"stages.\1.\2."),
    (r"^(stages\.\d+\.\d+)\.layernorm\.", r"\1.norm."),
    (r"\.layer_scale_parameter$", ".gamma"),
    (r"\.grn\.weight$", ".grn.gamma"),
    (r"\.grn\.bias$", ".grn.beta"),
    (r"^layernorm\.", "norm."),
    (r"^classifier\.", "head."),
)
# To the names of ViT and DINOv2, which are timm's but for the registers and SwiGLU of the latter.
_TRANSFORMER_NAMES = (
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.distillation_token$", "dist_token"),
    (r"^embeddings\.", ""),
    (r"^encoder\.layer\.(\d+)\.", r"blocks.\1."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.attention\.attention\.", ".attn."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
    (r"\.mlp\.weights_in\.", ".mlp.w12."),
    (r"\.mlp\.weights_out\.", ".mlp.w3."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
    (r"^layernorm\.", "norm."),
    (r"^distillation_classifier\.", "head_dist."),
    (r"^(cls_)?classifier\.", "head."),
)


def authors_names(state: State) -> State:
    """Return the tensors under their authors' names; those of a file of another origin as they are."""
    plain = {_PREFIX.sub("", name): value for name, value in state.items()}
    if any(map(_CONVNEXT.match, plain)):
        return _renamed(plain, _CONVNEXT_NAMES)
    if any(map(_TRANSFORMER.match, plain)):
        return _with_joined_attention(_renamed(plain, _TRANSFORMER_NAMES))
    return state


def _renamed(state: State, names: tuple[tuple[str, str], ...]) -> dict[str, Tensor]:
    renamed = {}
    for name, value in state.items():
        for pattern, replacement in names:
            name = re.sub(pattern, replacement, name)  # noqa: PLW2901 - one replacement after the other
        renamed[name] = value
    return renamed


def _with_joined_attention(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Put query, key and value of each block into one tensor."""
    joined = {}
    for name, value in state.items():
        if ".attn.query." in name:
            parts = [state[name.replace("query", part)] for part in ("query", "key", "value")]
            joined[name.replace("query", "qkv")] = torch.cat(parts)
        elif ".attn.key." not in name and ".attn.value." not in name:
            joined[name] = value
    return joined
