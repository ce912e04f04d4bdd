"""One emoji: one sign as a reader sees it, in the one spelling that Unicode recommends for interchange.

The set is closed, by the tables of the package `emoji`, so that a reaction holds no text. An emoji that is
younger than the installed table is not one yet: `pip install -U emoji` makes it one.
"""

from functools import cache

_SELECTOR = "\ufe0f"


def is_emoji(text: str) -> bool:
    """Whether `text` is exactly one emoji, fully qualified."""
    import emoji  # late: 25 ms

    known = emoji.EMOJI_DATA.get(text)
    return known is not None and known["status"] == emoji.STATUS["fully_qualified"]


def qualified(text: str) -> str | None:
    """The one emoji in what a person typed, fully qualified (❤ typed without its selector, say), or None."""
    typed = text.strip()
    return typed if is_emoji(typed) else _spellings().get(typed.replace(_SELECTOR, ""))


def name_of(text: str) -> str:
    """What Unicode calls an emoji in English: "thumbs up", for who cannot see it. Empty for what is none."""
    import emoji

    return emoji.EMOJI_DATA[text]["en"].strip(":").replace("_", " ") if is_emoji(text) else ""


@cache
def _spellings() -> dict[str, str]:
    import emoji

    return {known.replace(_SELECTOR, ""): known for known in emoji.EMOJI_DATA if is_emoji(known)}
