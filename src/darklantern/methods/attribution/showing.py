"""An attribution as a picture."""

from darklantern.methods.attribution.attributions import Attribution
from darklantern.methods.patching.picturing import Words, drawn
from darklantern.models.picture import Picture


def picture(found: Attribution) -> Picture:
    """Bars of a few scores; else fields; tokens named where they are known."""
    title = "What each adds to the metric"
    note = f"{found.name[0].upper()}{found.name[1:]}. {_baseline(found)}"
    svg = drawn(found.means(), Words(title, found.says, note, found.texts))
    return Picture(svg, title, f"{found.says}. {_baseline(found)}")


def _baseline(found: Attribution) -> str:
    if found.corrupt is None:
        return f"Baseline zero; the metric is {found.clean:.4g}."
    return f"The metric is {found.corrupt:.4g} on the corrupt inputs and {found.clean:.4g} on the clean ones."
