"""What a relay has signed, remembered outside its database: so that a restored backup is noticed.

In: the folded logs. Out: a file in the relay's folder, and the reason not to append where the database holds less, or
something else, than was signed. A relay that appended then would fork its logs, which freezes them for everybody.
"""

import json
from pathlib import Path
from typing import Final

from darklantern.errors import StoreError
from darklantern.files import write_whole
from darklantern.network.view import View
from darklantern.sealing import LogVerifyKey

_FILE: Final = "signed.json"


class Remembered:
    """Log → size and root of the newest checkpoint that any process of this folder knows to be signed."""

    def __init__(self, folder: Path, key: LogVerifyKey) -> None:
        self._path = folder / _FILE
        self._key = key
        self._written: dict[str, tuple[int, str]] = {}

    def check(self, view: View) -> str | None:
        """Why nothing may be appended, or None. Raises StoreError for a file that cannot be read."""
        for log, (size, root) in sorted(self._read().items()):
            trail = view.trail(log)
            if trail.size < size:
                return f"log {log[:8]}… had {size} entries and has {trail.size}: an older backup was restored"
            if trail.roots[size].hex() != root:
                return f"log {log[:8]}… has other entries below {size} than were signed"
        return None

    def keep(self, view: View) -> None:
        """Write down what is signed now. Sizes only grow: another process may know of more."""
        mine = {
            log: (trail.size, trail.roots[-1].hex())
            for log, trail in view.trails.items()
            if trail.size and view.log_key(log) == self._key
        }
        if mine == self._written:
            return
        known = self._read()
        newest = {**known, **{log: end for log, end in mine.items() if end[0] >= known.get(log, (0, ""))[0]}}
        write_whole(self._path, json.dumps(newest, sort_keys=True).encode())
        self._written = mine

    def _read(self) -> dict[str, tuple[int, str]]:
        try:
            data = json.loads(self._path.read_bytes())
            return {str(log): (int(size), str(root)) for log, (size, root) in data.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise StoreError(
                f"cannot read {self._path}", hint="delete it only if you are sure that the database is the newest"
            ) from error
