"""Answers as bars: does the model follow them, and who is right how often?"""

from darklantern.drawing import Bar, bars
from darklantern.methods.asking.answers import Answers
from darklantern.methods.shares import interval
from darklantern.models.picture import Picture

_CONTROLS = ("followed a random change as long", "followed another variable")


def picture(found: Answers) -> Picture:
    """Interchanges first, controls in grey, then accuracies where the truth is known."""
    shares = found.checked.shares
    items = [
        Bar(label=name, value=shares[name], interval=interval(shares[name], len(found.done)))
        for name in ("followed another answer", "stayed with the same answer")
    ]
    items += [Bar(label=name, value=shares[name], control=True) for name in _CONTROLS]
    items.append(Bar(label="answers that are supported", value=shares["supported"]))
    told = {each.name: each.value for each in found.figures}
    shown = ("accuracy", "accuracy × coverage of supported answers", "accuracy of outputs at their word",
             "accuracy from prompt and output")  # fmt: skip
    items += [Bar(label=name, value=told[name], control="output" in name) for name in shown if name in told]
    title = f"“{found.question.text}”: {found.verdict}"
    note = (
        f"Read by {found.reporter.name} at {found.question.at}, checked by interchange; whiskers: 95 % over examples."
    )
    return Picture(bars(items, title=title, unit="share", note=note), title, found.says)
