"""Pixels to bytes: JPEG for a picture that will be replaced at once, PNG for one that stays."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

JPEG_QUALITY = 90  # at 4:4:4 (no colour subsampling) thin coloured lines keep their colour


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Return RGBA pixels of shape (height, width, 4) as a JPEG file."""
    return _encode(pixels, "JPEG", quality=JPEG_QUALITY, subsampling=0)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return RGBA pixels of shape (height, width, 4) as an opaque PNG file."""
    return _encode(pixels, "PNG", compress_level=1)


def base64_text(data: bytes) -> str:
    """Return bytes as the text that a notebook's output carries."""
    return base64.b64encode(data).decode("ascii")


def _encode(pixels: NDArray[np.uint8], file_format: str, **options: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels, "RGBA").convert("RGB").save(file, file_format, **options)
    return file.getvalue()
