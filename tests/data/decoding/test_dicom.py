"""DICOM files beyond plain grey: palettes, deep colours, windows that are empty."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from advisor.data import images


def dicom(frame: NDArray[Any], kind: str, **tags: Any) -> bytes:
    """Write one frame of 8 or 16 bits as a DICOM file."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileMetaDataset

    record, bits = pydicom.Dataset(), 8 * frame.itemsize
    record.file_meta = FileMetaDataset()
    record.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    record.file_meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    record.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    record.Rows, record.Columns, record.SamplesPerPixel = *frame.shape[:2], 3 if frame.ndim == 3 else 1
    record.BitsAllocated, record.BitsStored, record.HighBit, record.PixelRepresentation = bits, bits, bits - 1, 0
    record.PhotometricInterpretation, record.PixelData = kind, frame.tobytes()
    for name, value in ({"PlanarConfiguration": 0} if frame.ndim == 3 else tags).items():
        setattr(record, name, value)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, record, enforce_file_format=True)
    return stream.getvalue()


def test_palettes_are_applied() -> None:
    """A frame of indices is shown in the colours that its tables state, not as grey."""
    ramp = np.arange(256, dtype=np.uint16) * 257
    tables = {"Red": ramp[::-1], "Green": ramp, "Blue": ramp * 0}
    tags: dict[str, Any] = {f"{name}PaletteColorLookupTableDescriptor": [256, 0, 16] for name in tables}
    tags |= {f"{name}PaletteColorLookupTableData": table.tobytes() for name, table in tables.items()}
    rgb = np.asarray(images.open_rgb(dicom(np.arange(64, dtype=np.uint8).reshape(8, 8), "PALETTE COLOR", **tags)))
    assert rgb[0, 0].tolist() == [255, 0, 0]
    assert rgb[-1, -1].tolist() == [192, 63, 0]


def test_deep_colours_keep_their_upper_bits() -> None:
    """16 bits of 256 are nearly black, not 0 of a remainder."""
    frame = np.full((8, 8, 3), (65535, 32768, 256), dtype=np.uint16)
    assert np.asarray(images.open_rgb(dicom(frame, "RGB")))[0, 0].tolist() == [255, 128, 1]


@pytest.mark.parametrize("window", [(None, None), (30, 0)])
def test_an_empty_window_is_none(window: tuple[int | None, int | None]) -> None:
    """Its tags may be there without a value, or with a width of 0: the values are scaled over the data set."""
    tags = {"WindowCenter": window[0], "WindowWidth": window[1]}
    content = dicom(np.arange(64, dtype=np.uint16).reshape(8, 8), "MONOCHROME2", **tags)
    assert images.header(content) == (8, 8, "F")
    assert images.sample_range(content) == (0.0, 63.0)
