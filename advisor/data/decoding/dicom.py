"""DICOM files (extra `dicom`) -> an image of Pillow: the first frame, as the file's own window shows it.

Where a file states a window (centre, width) its grey values are mapped by it to 8 bits, as a viewer does; otherwise the
rescaled values stay floats, and are scaled by the range over the data set. MONOCHROME1 is inverted, palettes are applied,
colours of more than 8 bits are read with their upper 8. Source: DICOM PS3.3 C.7.6.3, C.11.1, C.11.2. Does NOT cover:
overlays, presentation states, more than one frame.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from advisor.data.decoding import decode_limits

if TYPE_CHECKING:
    from PIL import Image

WINDOWED = "dicom_window"  # key of `Image.info` where the file's own window made the grey values


def opened(stream: Any) -> Image.Image:
    """Return the first frame of a DICOM file. Raises ValueError with a short reason."""
    from PIL import Image

    try:
        import pydicom
        from pydicom.pixels import processing
    except ImportError:
        raise ValueError("DICOM: install the reader (pip install 'tl-advise[dicom]'), or convert to PNG") from None
    content = stream.read()
    try:
        record = pydicom.dcmread(io.BytesIO(content))
        _check_size(record)
        samples = record.pixel_array
        is_indexed = getattr(record, "PhotometricInterpretation", "") == "PALETTE COLOR"
        samples = processing.apply_color_lut(samples, record) if is_indexed else samples
    except (MemoryError, Image.DecompressionBombError):
        raise
    except Exception as error:  # pydicom raises its own errors, and those of the codecs
        raise ValueError(f"DICOM without readable pixels: {' '.join(str(error).split())[:80]}") from error
    frames = int(getattr(record, "NumberOfFrames", 1) or 1)
    frame = samples[0] if frames > 1 else samples
    if frame.ndim == 3:
        bits = 8 * frame.itemsize if is_indexed else int(getattr(record, "BitsStored", 8))
        image = Image.fromarray(np.ascontiguousarray(frame[..., :3] >> max(0, bits - 8), dtype=np.uint8))
    else:
        values = np.asarray(processing.apply_modality_lut(frame, record), dtype=np.float64)
        image = _grey(values, record, processing)
    image.format = "DICOM"
    return image


def _check_size(record: Any) -> None:
    """Raise DecompressionBombError where the header states more pixels than an image may have, before they are decoded."""
    from PIL import Image

    height, width = int(getattr(record, "Rows", 0) or 0), int(getattr(record, "Columns", 0) or 0)
    if width * height > decode_limits.max_pixels():
        raise Image.DecompressionBombError(f"decompression bomb: {width} x {height} pixels")


def _grey(values: Any, record: Any, processing: Any) -> Image.Image:
    from PIL import Image

    inverted = getattr(record, "PhotometricInterpretation", "") == "MONOCHROME1"
    if not _states_window(record):
        return Image.fromarray((values.max() + values.min() - values if inverted else values).astype(np.float32))
    shown = np.asarray(processing.apply_voi_lut(values, record), dtype=np.float64)
    low, high = _window(record, shown)
    grey = np.clip((shown - low) * (255.0 / max(high - low, 1e-12)), 0, 255)
    image = Image.fromarray(np.rint(255 - grey if inverted else grey).astype(np.uint8))
    image.info[WINDOWED] = True
    return image


def _states_window(record: Any) -> bool:
    """Return True where centre and width are there, not empty, and the width is above 0."""
    values: list[Any] = [getattr(record, name, None) for name in ("WindowCenter", "WindowWidth")]
    centre, width = (np.ravel(value) for value in values)
    return centre.size > 0 and width.size > 0 and centre[0] not in (None, "") and bool(width[0]) and float(width[0]) > 0


def _window(record: Any, shown: Any) -> tuple[float, float]:
    """Return the smallest and largest value that the window maps to: the output range of the modality."""
    slope, intercept = float(getattr(record, "RescaleSlope", 1)), float(getattr(record, "RescaleIntercept", 0))
    bits = int(getattr(record, "BitsStored", 8))
    signed = int(getattr(record, "PixelRepresentation", 0)) == 1
    stored = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    low, high = sorted(value * slope + intercept for value in stored)
    return min(low, float(shown.min())), max(high, float(shown.max()))
