"""What all pages share: the document around them, chips, facts, tables, and figures that scroll in their own box."""

from collections.abc import Iterable, Sequence

from darklantern.drawing import Svg
from darklantern.page.markup import Html, spaced, tag, together
from darklantern.records.assessments import LEVEL_NAMES, Level


def document(title: str, *content: str, root: str = "") -> Html:
    """A whole page. `root` leads from it to the home page (`""` or `"../"`): links are relative throughout."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{title} · Dark Lantern"),
        tag("link", rel="icon", href=f"{root}static/lantern.svg", type="image/svg+xml"),
        tag("link", rel="stylesheet", href=f"{root}static/page.css"),
    )
    top = tag(
        "header",
        tag(
            "a",
            tag("img", src=f"{root}static/lantern.svg", alt="", width="22", height="22"),
            tag("span", "Dark Lantern"),
            href=root or "./",
            class_="mark",
        ),
        tag("span", "Your library, on this machine only", class_="where"),
        class_="top",
    )
    foot = tag(
        "footer",
        tag("p", "Shown to this browser only. Nothing here was fetched from elsewhere, and nothing is sent."),
        tag("p", "Times and texts of others are what they signed, not what this device checked, unless it says so."),
        class_="foot",
    )
    body = tag("body", tag("a", "Skip to the content", href="#content", class_="skip"), top, *content, foot)
    return together(Html("<!doctype html>\n"), tag("html", head, body, lang="en"))


def marks(level: Level | None, circle: str, *, pending: bool = False) -> Html:
    """The level as a small label, `V2 Compartment`, and the circle. None: it does not open, so nobody knows."""
    chip = tag("span", "does not open", class_="chip shut")
    if level is not None:
        name = spaced(tag("b", level), tag("span", LEVEL_NAMES[level]))
        chip = tag("span", name, class_=f"chip {level.lower()}", title="level")
    waits = [waiting()] if pending else []
    return tag("div", spaced(chip, tag("span", "circle ", tag("bdi", circle), class_="soft"), *waits), class_="marks")


def waiting() -> Html:
    """For what stands in the outbox: others may not have it yet."""
    return tag("span", "waits for the circle’s log", class_="waits")


def fresh(says: str) -> Html:
    """For what its reader has not marked as read."""
    return tag("span", says, class_="new")


def facts(pairs: Iterable[tuple[str, str]], *, class_: str = "facts") -> Html:
    """Names with their values; pairs without a value are left out."""
    rows = [tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs if value]
    return tag("dl", *rows, class_=class_) if rows else Html("")


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], *, class_: str = "") -> Html:
    """A table whose first column names its rows. Where it stacks on a phone, cells carry their column's name."""
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in heads)))
    body = tag("tbody", *(_row(heads, row) for row in rows))
    return tag("table", tag("caption", caption), head, body, class_=f"table {class_}".strip())


def _row(heads: Sequence[str], row: Sequence[str]) -> Html:
    cells = [tag("td", cell, data_label=name) for name, cell in zip(heads[1:], row[1:], strict=True)]
    return tag("tr", tag("th", row[0], scope="row"), *cells)


def figure(picture: Svg, name: str) -> Html:
    """A picture; on a narrow screen it scrolls within its own box, also by keyboard."""
    box = tag("div", picture, class_="scroll", tabindex="0", role="group", aria_label=name)
    return tag("figure", box)


def section(anchor: str, heading: str, *content: str, lead: str = "") -> Html:
    """A part of a page. `anchor` is ours."""
    opening = [tag("h2", heading), *([tag("p", lead, class_="lead")] if lead else [])]
    return tag("section", *opening, *content, id=anchor)


def code(text: str) -> Html:
    """A hash, a site, a command: set in mono, breaking anywhere."""
    return tag("code", text, class_="mono")


def notice(kind: str, *content: str) -> Html:
    """A remark that must not be missed; `kind` is `note` or `warn`."""
    return tag("div", *content, class_=f"notice {kind}", role="note")
