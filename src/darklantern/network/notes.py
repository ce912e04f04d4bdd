"""Signed notes as fields of a record."""

from typing import Annotated

import msgspec

from darklantern.logs import checkpoint

Note = Annotated[bytes, msgspec.Meta(max_length=checkpoint.MAX_NOTE)]
"""A checkpoint with its signatures, byte for byte."""
