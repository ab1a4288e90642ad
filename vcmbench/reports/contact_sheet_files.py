"""A contact sheet as a file, PNG or PDF, without loss."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import PIL.Image

from vcmbench.reports.contact_sheet import Sheet
from vcmbench.reports.contact_sheet_drawing import draw, layout

POINTS_PER_TILE = 108
"""The side of a picture on the page, in 1/72 inch."""


def as_png(picture: PIL.Image.Image) -> bytes:
    """Return the file."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def as_pdf(sheet: Sheet) -> bytes:
    """Return one page with the sheet in twice its pixels, for crisp letters, and without loss.

    Pillow's own PDF is JPEG, which has no place in a comparison of codecs. The data of a PNG (8 bits, RGB, not interlaced)
    are as they stand what PDF calls Flate with predictor 15 (ISO 32000-1, 7.4.4.4).
    """
    png = as_png(draw(sheet, scale=2))
    width, height = struct.unpack(">II", png[16:24])
    points = POINTS_PER_TILE / layout(sheet, scale=2).tile
    page = f"{width * points:.2f} {height * points:.2f}"
    content = f"q {width * points:.2f} 0 0 {height * points:.2f} 0 0 cm /Sheet Do Q".encode()
    data = b"".join(_png_data(png))
    parameters = f"<< /Predictor 15 /Colors 3 /BitsPerComponent 8 /Columns {width} >>"
    image = (
        f"<< /Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace /DeviceRGB /BitsPerComponent 8 "
        f"/Filter /FlateDecode /DecodeParms {parameters} /Length {len(data)} >>"
    )
    return _pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {page}] /Contents 4 0 R "
        f"/Resources << /XObject << /Sheet 5 0 R >> >> >>".encode(),
        _stream(f"<< /Length {len(content)} >>".encode(), content),
        _stream(image.encode(), data),
    )


def _png_data(png: bytes) -> Iterator[bytes]:
    place = 8
    while place < len(png):
        length, kind = struct.unpack(">I4s", png[place : place + 8])
        if kind == b"IDAT":
            yield png[place + 8 : place + 8 + length]
        place += 12 + length


def _stream(dictionary: bytes, data: bytes) -> bytes:
    return dictionary + b"\nstream\n" + data + b"\nendstream"


def _pdf(*objects: bytes) -> bytes:
    """A PDF file of objects numbered from 1, the first of them its catalogue."""
    file = b"%PDF-1.5\n%\xe2\xe3\xcf\xd3\n"
    places = []
    for number, each in enumerate(objects, 1):
        places.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    count = len(objects) + 1
    tail = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, len(file))
    return file + b"xref\n0 %d\n0000000000 65535 f \n%s%s" % (count, table, tail)
