"""A label as a picture: spans by rank, tokens tinted by activation."""

from darklantern.drawing import Row, spans
from darklantern.methods.labels.labelled import Label
from darklantern.models.picture import Picture

_EACH = 5
"""rows of a rank"""


def picture(found: Label) -> Picture:
    """Some spans of each rank, from the highest to those that are not active, and the figures at the foot."""
    rows = []
    for name, part in found.quantiles:
        for number, span in enumerate(part[:_EACH]):
            rows.append(Row(span.tokens, span.activations, span.peak, "" if number else name))
    notes = [f"Tinted from {found.threshold:.3g} on, which {found.density:.2%} of {found.tokens:,} tokens reach."]
    if found.rule is not None:
        notes[0] += f" The rule's tokens are active {found.rule.lift:.3g} times as often as any."
    if found.held is not None:
        notes.append(
            f"On held-out text the rule has precision {found.held.precision:.2f}, recall {found.held.recall:.2f}."
        )
    if found.scores:
        notes.append("; ".join(f"{each.name} {each.accuracy:.2f}" for each in found.scores) + ".")
    title = f"What {found.feature} responds to"
    svg = spans(rows, title=title, says=found.text, notes=notes, floor=found.threshold)
    return Picture(svg, title, found.says)
