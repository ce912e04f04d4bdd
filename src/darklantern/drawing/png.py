"""PNG from our own pictures, by resvg: a small renderer in Rust, one wheel, no browser."""

import importlib
from typing import Any

from darklantern.drawing.frame import PAPER
from darklantern.drawing.markup import Svg
from darklantern.errors import MissingExtraError, RecordError


def to_png(picture: Svg, *, zoom: int = 2) -> bytes:
    """The bytes of `picture` as PNG, `zoom` pixels to the unit; text is set in the machine's own fonts.

    Use it for reports and chats that take no SVG. The same picture gives the same bytes on one
    machine; other fonts give other bytes. Only pictures of this room are taken: SVG from elsewhere
    can name files of this machine, and a renderer would read them.

    Raises MissingExtraError without resvg_py, RecordError for anything but a picture of ours.
    """
    if not isinstance(picture, Svg):
        raise RecordError(
            f"expected a picture made by darklantern.drawing, got {type(picture).__name__}",
            hint="pass what curves(), heatmap() and the others returned, not text read from a file",
        )
    if not 1 <= zoom <= 8:
        raise RecordError(f"expected a zoom from 1 to 8, got {zoom}", hint="2 suits screens, 4 suits print")
    return bytes(_resvg().svg_to_bytes(svg_string=str(picture), background=PAPER, zoom=zoom))


def _resvg() -> Any:
    try:
        return importlib.import_module("resvg_py")
    except ImportError as error:
        raise MissingExtraError(
            "PNG needs the package resvg_py, which is not installed",
            hint="pip install 'resvg-py>=0.5,<0.6', or keep the SVG: every browser opens it",
        ) from error
