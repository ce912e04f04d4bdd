"""A post: one message in the thread under a finding. It is sealed like the finding itself."""

from typing import Annotated, Final, Literal

import msgspec

from darklantern.records.exact import Sha256, Value

LONGEST: Final = 1_000_000
"""characters"""


class Post(Value, frozen=True, kw_only=True):
    """What somebody says about an item. The text is data: it is never markup and never a command."""

    v: Literal[1] = 1
    item: Sha256
    reply_to: Sha256 | None = None
    """another post in the same thread"""
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST)]
