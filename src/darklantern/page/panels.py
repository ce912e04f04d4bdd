"""A panel of raters on the page: where it stands, whom it awaits, who said what."""

from darklantern.assess.panels import Panel, told
from darklantern.errors import AssessmentError
from darklantern.page.layout import facts, notice
from darklantern.page.markup import Html, tag
from darklantern.page.prose import bdi
from darklantern.records.assessments import Level


def panel_part(panel: Panel | AssessmentError | None) -> list[Html]:
    """The newest panel about an item, or why it cannot be told; nothing where there is none. Texts are raters' own."""
    if panel is None:
        return []
    if isinstance(panel, AssessmentError):
        return [tag("h3", "Panel"), notice("warn", tag("p", bdi(panel.message)))]
    says = told(panel)
    pairs = [
        ("Stands", bdi(says.standing)),
        ("Awaited", _listed(says.awaited)),
        ("Said", _listed(says.rated)),
        ("Disagreed on", _listed(says.disagreed)),
        ("The red team", _listed(says.red_team)),
        ("Remarks", _listed(says.remarks)),
    ]
    return [tag("h3", "Panel"), facts(pairs, class_="facts wide")]


def closed_by(panel: Panel | AssessmentError | None, level: Level) -> list[Html]:
    """What must not be missed of an item that was shared at `level`: its raters see it as more closed."""
    if not isinstance(panel, Panel) or panel.standing.level <= level:
        return []
    says = (
        f"Its raters see it as {panel.standing.level}, and it was shared at {level}. Whoever has it keeps it: pass it "
        f"on to nobody whom {panel.standing.level} would not reach."
    )
    return [notice("warn", tag("p", says))]


def _listed(texts: tuple[str, ...]) -> str:
    return tag("ul", *(tag("li", bdi(text)) for text in texts)) if texts else ""
