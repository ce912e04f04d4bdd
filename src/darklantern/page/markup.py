"""Text that is already safe HTML, and the ways to make it. Whatever is plain text gets escaped."""

from typing import final

from darklantern.drawing import Svg
from darklantern.drawing.lettering import LONGEST, clean


@final
class Html(str):
    """HTML markup that this room made. String methods give a plain `str` again, which is escaped when used."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: str | None) -> Html:
    """One element. `class_` becomes `class`, `aria_label` becomes `aria-label`, None is left out.

    Children and attribute values may be the text of others; names are always our own. Without
    children it closes itself, so the page is well-formed XML as well.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escaped(clean(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(each if isinstance(each, Html | Svg) else _escaped(whole(each)) for each in children)
    return Html(f"<{name}{written}>{inside}</{name}>" if children else f"<{name}{written}/>")


def together(*parts: str) -> Html:
    """The parts one after the other, plain text among them escaped."""
    return Html("".join(each if isinstance(each, Html | Svg) else _escaped(whole(each)) for each in parts))


def spaced(*parts: str) -> Html:
    """The parts with spaces between them: what a layout sets apart must also be apart when copied or read aloud."""
    return together(*(piece for i, part in enumerate(parts) for piece in ([" ", part] if i else [part])))


def whole(text: str) -> str:
    """`text` made harmless by drawing's rules, at any length: the same characters come through in both rooms."""
    return "".join(clean(text[i : i + LONGEST]) for i in range(0, len(text), LONGEST))


def _escaped(text: str) -> str:
    for mark, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        text = text.replace(mark, entity)
    return text
