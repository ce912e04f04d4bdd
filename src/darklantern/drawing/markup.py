"""The one shape of this room: text that is already safe markup, and the ways to make it."""

from typing import final

from darklantern.drawing.lettering import clean


@final
class Svg(str):
    """SVG markup. A plain `str` put inside an element is escaped; an `Svg` is not.

    Anything done to it with string methods gives a plain `str` again, so a slip shows up as visible
    angle brackets, never as markup. A notebook shows it as a picture, and templates that know
    `__html__` (Jinja, markupsafe) insert it as it is. Do not wrap text of others in it.
    """

    __slots__ = ()

    def _repr_svg_(self) -> str:
        return str(self)

    def __html__(self) -> str:
        return str(self)


def element(name: str, /, *children: str, **attributes: str | float | None) -> Svg:
    """One element. `stroke_width` becomes `stroke-width`, `class_` becomes `class`, None is left out.

    Children may be the text of others; attributes are always our own.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escaped(value) if isinstance(value, str) else coordinate(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(child if isinstance(child, Svg) else _escaped(clean(child)) for child in children)
    return Svg(f"<{name}{written}>{inside}</{name}>" if children else f"<{name}{written}/>")


def together(*parts: Svg) -> Svg:
    """The parts one after the other."""
    return Svg("".join(parts))


def coordinate(value: float) -> str:
    """Pixels to a hundredth, in the fewest characters; never `-0`."""
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


def _escaped(text: str) -> str:
    for mark, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(mark, entity)
    return text
