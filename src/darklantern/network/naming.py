"""Names of orgs and ids of people that show as what they are, and are not taken for each other.

In: names. Out: nothing, or RefusedError. Every reader must judge alike whatever its version of Unicode, so the tables
are those of RFC 3454, which stay as they are. Letters of other scripts that look alike are still different names.
"""

import stringprep
import unicodedata
from collections.abc import Iterable
from typing import Final

from darklantern.errors import RefusedError

_UNSEEN: Final = (
    stringprep.in_table_b1,  # commonly mapped to nothing
    stringprep.in_table_c12,  # spaces beyond ASCII's
    stringprep.in_table_c21_c22,  # control characters
    stringprep.in_table_c3,  # private use
    stringprep.in_table_c4,  # no characters
    stringprep.in_table_c5,  # surrogates
    stringprep.in_table_c6,  # unfit for plain text
    stringprep.in_table_c8,  # direction, and others that change what is shown
    stringprep.in_table_c9,  # tags
)


def check_name(name: str) -> None:
    """Raises RefusedError for a name with an invisible letter in it, or a space at an end."""
    unseen = next((letter for letter in name if any(is_in(letter) for is_in in _UNSEEN)), None)
    if unseen or name != name.strip(" "):
        raise RefusedError(
            f"expected a name that shows as what it is, got {name!a}",
            hint="no space at an end, and no letter that is invisible or changes the direction",
        )


def check_apart(names: Iterable[str]) -> None:
    """Raises RefusedError for names that `check_name` refuses, and for two that differ in case or form alone."""
    seen: dict[str, str] = {}
    for name in names:
        check_name(name)
        other = seen.setdefault(_folded(name), name)
        if other != name:
            raise RefusedError(
                f"expected names that nobody takes for each other, got {other!a} and {name!a}",
                hint="call one of them something else",
            )


def _folded(name: str) -> str:
    """Without case and compatible forms: RFC 3454, table B.2 and NFKC of Unicode 3.2."""
    mapped = "".join(map(stringprep.map_table_b2, unicodedata.ucd_3_2_0.normalize("NFKC", name)))
    return unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
