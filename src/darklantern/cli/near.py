"""What somebody may have meant by a name that nobody has.

In: a word and the names that there are. Out: those that look like it, as words for a hint. Never a guess to act on.
"""

import difflib
from collections.abc import Iterable, Sequence

_MOST = 3
_ALIKE = 0.6
"""of 1; difflib's own proposal"""


def near(word: str, names: Iterable[str]) -> tuple[str, ...]:
    """The names that are most like `word`, whatever the case; those that begin so come first."""
    known = sorted(set(names))
    folded = word.casefold()
    begin = [name for name in known if folded and name.casefold().startswith(folded)]
    by_form = {name.casefold(): name for name in known}
    alike = [by_form[each] for each in difflib.get_close_matches(folded, by_form, _MOST, _ALIKE)]
    return tuple(dict.fromkeys((*begin, *alike)))[:_MOST]


def meant(found: Sequence[str], otherwise: str) -> str:
    """A hint that begins with the names that may have been meant, where there are any."""
    return f"did you mean {' or '.join(found)}? {otherwise}" if found else otherwise
