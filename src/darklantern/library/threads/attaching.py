"""A file as an attachment: its hash, a name and a media type that is only data."""

import re
from pathlib import Path
from typing import Final

from darklantern.errors import DarkLanternError, RefusedError
from darklantern.library.files import file_sha256
from darklantern.records.exact import encode
from darklantern.records.posts import Attachment

UNKNOWN: Final = "application/octet-stream"


def described(file: Path, name: str | None, media: str) -> Attachment:
    """What a post will say of the file, which is read once for its hash. Raises StoreError or RefusedError."""
    sha256, size = file_sha256(file), file.stat().st_size
    attachment = Attachment(name=name or file.name, media=media, sha256=sha256, size=size)
    try:
        encode(attachment)
    except DarkLanternError as error:
        raise RefusedError(
            "expected a name of 1 to 200 characters and a media type in lower case, such as text/plain, "
            f"got {media!r} and a name of {len(attachment.name)} characters",
            hint="give others with `name` and `media`",
        ) from error
    return attachment


def safe_name(name: str) -> str:
    """A peer's name for a file as the last part of a path: no folder, no dot in front, not too long."""
    last = re.split(r"[/\\]", name)[-1]
    plain = re.sub(r"[^\w. +-]", "_", last).strip(" .")
    stem, dot, ending = plain.rpartition(".")
    if not dot:
        return plain[:100] or "attachment"
    return f"{stem[:80]}.{ending[:19]}" if stem else ending[:100]
