"""Answers as bars: does the model follow them, and who is right how often?"""

from darklantern.drawing import Bar, bars
from darklantern.methods.asking.answers import Answers
from darklantern.methods.asking.coverage import interval
from darklantern.models.picture import Picture


def picture(found: Answers) -> Picture:
    """Interchanges first, controls in grey, then accuracies where the truth is known."""
    check = found.checked
    items = [
        Bar(
            label="followed another answer", value=_mean(check.followed), interval=interval(check.followed, found.seed)
        ),
        Bar(
            label="stayed with the same answer", value=_mean(check.stayed), interval=interval(check.stayed, found.seed)
        ),
        Bar(label="followed a random change as long", value=_mean(check.by_norm), control=True),
        Bar(label="followed another variable", value=_mean(check.by_other), control=True),
        Bar(label="answers that are supported", value=_mean(found.supported)),
    ]
    told = {each.name: each.value for each in found.figures}
    shown = ("accuracy", "accuracy × coverage of supported answers", "accuracy of outputs at their word",
             "accuracy from prompt and output")  # fmt: skip
    items += [Bar(label=name, value=told[name], control="output" in name) for name in shown if name in told]
    title = f"“{found.question.text}”: {found.verdict}"
    note = (
        f"Read by {found.reporter.name} at {found.question.at}, checked by interchange; whiskers: 95 % over examples."
    )
    return Picture(bars(items, title=title, unit="share", note=note), title, found.says)


def _mean(shares: object) -> float:
    import numpy as np

    return float(np.mean(np.asarray(shares, dtype=np.float64)))
