"""A picture to look at: in a notebook, as a file of its own, or as a line of text."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from darklantern.drawing import Svg, to_png
from darklantern.drawing.markup import element, together
from darklantern.errors import SiteError
from darklantern.files import write_whole


@dataclass(frozen=True, eq=False)
class Picture:
    """What `show()` returns. A notebook shows it; `save("it.html")`, `.svg` or `.png` keeps it."""

    svg: Svg
    title: str
    says: str
    """in a line, what is to be seen"""

    @property
    def html(self) -> str:
        """A whole HTML document: the picture and nothing from outside, no script; its policy forbids both."""
        head = element(
            "head",
            element("meta", charset="utf-8"),
            element(
                "meta", http_equiv="Content-Security-Policy", content="default-src 'none'; style-src 'unsafe-inline'"
            ),
            element("title", self.title),
        )
        body = element("body", self.svg, style="margin:24px;background:#ffffff")
        return "<!doctype html>\n" + element("html", together(head, body), lang="en") + "\n"

    def png(self, path: str | PathLike[str], zoom: int = 2) -> None:
        """Write it as PNG. Raises MissingExtraError without the package resvg_py."""
        write_whole(Path(path), to_png(self.svg, zoom=zoom))

    def save(self, path: str | PathLike[str]) -> None:
        """Write it as what the name ends in: .html, .svg or .png. Raises SiteError for another ending."""
        ending = Path(path).suffix.lower()
        if ending == ".png":
            self.png(path)
        elif ending in (".html", ".svg"):
            write_whole(Path(path), (self.html if ending == ".html" else str(self.svg)).encode())
        else:
            raise SiteError(f"cannot save a picture as {str(path)!r}", hint="end the name in .html, .svg or .png")

    def _repr_html_(self) -> str:
        return str(element("div", self.svg, style="max-width:100%;overflow-x:auto"))

    def __repr__(self) -> str:
        return f'Picture({self.title}: {self.says}; a notebook shows it, .save("picture.html") keeps it)'
