"""From an image to what the network is shown: the same pixels wherever a model is measured or asked."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from image_data import decoding
from training.shards import short_side


def prepare(image: Image.Image, image_size: int, crop_fraction: float) -> Tensor:
    """Scale the full frame and take its middle: uint8, shape (3, image_size, image_size)."""
    small = decoding.shrink(image, short_side(image_size, crop_fraction))
    left, top = ((side - image_size) // 2 for side in small.size)
    middle = small.crop((left, top, left + image_size, top + image_size))
    return torch.from_numpy(np.array(middle)).permute(2, 0, 1)
