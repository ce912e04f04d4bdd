"""What stands at and around a token, as whole numbers: the views among which a rule is looked for.

In: token numbers (batch, pos). Out: for each view one code a token, −1 where there is nothing. A rule is a view and
some of its codes, so two views at once, as a token after another, are a view of their own.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from darklantern.methods.labels.reading import Words

Codes = NDArray[np.int64]
BITS = 21
"""of a token's number where two share a code"""
EARLY = 4
"""positions at the beginning that have a code each; the rest share one"""
PAIRS: Final = (("(", ")"), ("[", "]"), ("{", "}"), ("<", ">"))
KINDS: Final = ("a word in small letters", "a word with a capital", "a number", "punctuation", "white space",
                "letters beyond ASCII", "bytes of several kinds")  # fmt: skip
VIEWS: Final = (
    "token",
    "previous",
    "next",
    "two before",
    "kind",
    "within",
    "ending",
    "beginning",
    "position",
    "token after",
    "token within",
)
"""from the plainest on: of rules as good as each other, the first is taken"""


def views(ids: Codes, words: Words) -> Codes:
    """Each view's codes, (view, batch, pos), in the order of `VIEWS`."""
    previous, within = _shifted(ids, 1), _within(ids, words)
    places = np.broadcast_to(np.minimum(np.arange(ids.shape[1]), EARLY), ids.shape)
    made = {
        "token": ids,
        "previous": previous,
        "next": _shifted(ids, -1),
        "two before": _shifted(ids, 2),
        "kind": words.each(ids, kind),
        "within": within,
        "ending": words.each(ids, lambda text: _letters(text[-2:])),
        "beginning": words.each(ids, lambda text: _letters(text.lstrip()[:2])),
        "position": places.astype(np.int64),
        "token after": np.where(previous < 0, -1, (previous << BITS) | ids),
        "token within": (within << BITS) | ids,
    }
    return np.stack([made[view] for view in VIEWS])


def described(view: str, code: int, words: Words) -> str:
    """One code of a view, in words."""
    low, high = code & ((1 << BITS) - 1), code >> BITS
    if view == "kind":
        return KINDS[code]
    if view == "within":
        return _brackets(code)
    if view in ("ending", "beginning"):
        return repr(_text(code))
    if view == "position":
        return f"position {code}" if code < EARLY else f"a position from {EARLY} on"
    if view == "token after":
        return f"{words[low]!r} after {words[high]!r}"
    if view == "token within":
        return f"{words[low]!r} within {_brackets(high)}"
    return repr(words[code])


def tokens_of(view: str, code: int) -> int | None:
    """The token that a code is of, where it is of one."""
    if view in ("token", "previous", "next", "two before"):
        return code
    return code & ((1 << BITS) - 1) if view in ("token after", "token within") else None


def kind(text: str) -> int:
    """Which of `KINDS` a token is, by its characters."""
    shown = text.strip()
    if not shown:
        return 4
    if not shown.isascii():
        return 5
    if shown.isalpha():
        return 0 if shown.islower() else 1
    if shown.isdigit():
        return 2
    return 3 if not any(map(str.isalnum, shown)) else 6


def _shifted(ids: Codes, by: int) -> Codes:
    """What stood `by` tokens before."""
    made = np.full_like(ids, -1)
    if abs(by) < ids.shape[1]:
        source, target = (slice(None, -by), slice(by, None)) if by > 0 else (slice(-by, None), slice(None, by))
        made[:, target] = ids[:, source]
    return made


def _within(ids: Codes, words: Words) -> Codes:
    """Between which brackets a token stands, a bit for each pair; the brackets themselves stand outside."""
    made = np.zeros_like(ids)
    for bit, (opening, closing) in enumerate(PAIRS):
        steps = words.each(ids, lambda text, o=opening, c=closing: text.count(o) - text.count(c))  # type: ignore[misc]
        walked = np.cumsum(steps, axis=1)
        # A closing bracket that nothing opened leaves the depth at 0.
        depth = walked - np.minimum(np.minimum.accumulate(walked, axis=1), 0)
        before = np.concatenate([np.zeros_like(depth[:, :1]), depth[:, :-1]], axis=1)
        made |= ((depth > 0) & (before > 0)).astype(np.int64) << bit
    return made


def _brackets(code: int) -> str:
    return " and ".join(f"{o} {c}" for bit, (o, c) in enumerate(PAIRS) if code >> bit & 1) or "no brackets"


def _letters(text: str) -> int:
    """Up to two characters as one number; −1 for fewer, which the token says already."""
    return (ord(text[0]) << BITS) | ord(text[1]) if len(text) == 2 else -1


def _text(code: int) -> str:
    return chr(code >> BITS) + chr(code & ((1 << BITS) - 1))
