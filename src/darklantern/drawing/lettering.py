"""Text of others made fit to be drawn: harmless characters, a known width, a length that fits."""

import re
import unicodedata

LONGEST = 1000
"""Characters kept of any one text, tooltips and descriptions included."""

# Advance widths in em of DejaVu Sans, the widest of the usual system fonts, rounded up: text that
# fits by this table also fits in Segoe UI, San Francisco, Roboto, Helvetica and Arial.
_WIDTHS = {
    character: width
    for width, characters in {
        0.30: "'IJijl",
        0.35: " ,./:;\\|·",
        0.40: "()-[]ft",
        0.45: "!r",
        0.50: '"*_`',
        0.55: "?csz",
        0.60: "FLkvxy",
        0.65: "$0123456789EPSTYabdeghnopqu{}␣–",
        0.70: "ABCKRVXZ",
        0.75: "NU",
        0.80: "&DGHOQ",
        0.85: "#+<=>^w~−×→⏎⇥",
        0.90: "M",
    }.items()
    for character in characters
}
_JOINERS = "\u200c\u200d"  # spelling in Persian and Indic scripts, and in emoji
_VISIBLE = {" ": "␣", "\n": "⏎", "\r": "␍", "\t": "⇥"}


def harmless(text: str) -> str:
    """`text` without what a terminal obeys, XML forbids, reorders its surroundings or climbs out of its line.

    Each white space becomes a space; control, format (bidirectional overrides, zero-width), surrogate,
    private and unassigned characters become U+FFFD; a stack of combining marks keeps two.
    """
    kept: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if character.isspace():
            kept.append(" ")
        elif category[0] == "C" and character not in _JOINERS:
            kept.append("\ufffd")
        elif marks <= 2:
            kept.append(character)
    return "".join(kept)


def clean(text: str) -> str:
    """The first `LONGEST` characters of `text`, harmless, with single spaces: what a label holds."""
    return re.sub(" +", " ", harmless(text[:LONGEST])) + ("…" if len(text) > LONGEST else "")


def visible(token: str) -> str:
    """`token` with its white space and control bytes shown: `" the\\n"` is `␣the⏎`."""
    return "".join(
        _VISIBLE.get(character) or (chr(0x2400 + ord(character)) if character < " " else character)
        for character in token[:LONGEST]
    )


def width(text: str, size: float, *, bold: bool = False) -> float:
    """An upper estimate of the pixels that `text` takes at `size`, in any of the usual system fonts."""
    return size * (1.15 if bold else 1.0) * sum(map(_advance, text))


def shorten(text: str, size: float, room: float, *, bold: bool = False) -> str:
    """`text` if it fits into `room` pixels, else its beginning and an ellipsis."""
    if len(text) <= LONGEST and width(text, size, bold=bold) <= room:
        return text
    left = room - width("…", size, bold=bold)
    kept = 0
    for character in text:
        left -= width(character, size, bold=bold)
        if left < 0:
            break
        kept += 1
    return text[:kept].rstrip() + "…"


def _advance(character: str) -> float:
    known = _WIDTHS.get(character)
    if known is not None:
        return known
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0.0
    # Beyond ASCII: accented Latin letters stay below 0.75 em; full-width and all others near one em.
    return 0.75 if "\u00c0" <= character < "\u0250" else 1.0
