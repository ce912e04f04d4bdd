"""A lens as a picture: layers down, positions across, in each cell the likeliest token."""

from typing import TYPE_CHECKING

import numpy as np

from darklantern.drawing import Axis, Field, fields
from darklantern.errors import MethodError
from darklantern.models.picture import Picture

if TYPE_CHECKING:
    from darklantern.methods.lenses.views import Lens

_MOST = 96
"""positions that can be told apart"""
_COLOURS = {
    "probability": "the probability of the token in the cell",
    "kl": "KL in nats of the model's distribution from the lens's",
    "entropy": "the lens's entropy in nats",
    "target": "the probability of the token asked for",
}


def picture(found: "Lens", example: int, by: str) -> Picture:
    """The first of many positions, and the picture says so."""
    examples = found.own.kl.shape[0]
    if not -examples <= example < examples:
        raise MethodError(f"example {example} of {examples}", hint="examples count from 0")
    values = _values(found, by)[:, example]
    real = np.flatnonzero(found.own.tokens[example, :, 0] >= 0)[:_MOST]
    texts = [[found.text(int(token)) for token in each.tokens[example, real, 0]] for each in found.readings]
    shown = Field("", values[:, real].tolist(), texts)
    prompt = found.prompts[example] if found.prompts else ()
    rows = Axis("site", range(len(found.sites)), tuple(map(str, found.sites)))
    columns = Axis("pos", real.tolist(), tuple(prompt[each] for each in real) if prompt else ())
    title = f"What a {found.how} lens reads" + f", example {example}" * (examples > 1)
    notes = [f"In each cell the likeliest token; the colour is {_COLOURS[by]}."]
    if len(real) == _MOST:
        notes.append(f"The first {_MOST} positions.")
    return Picture(fields([shown], rows, columns, title=title, says=found.says, notes=notes), title, found.says)


def _values(found: "Lens", by: str) -> "np.typing.NDArray[np.float64]":
    if by not in _COLOURS:
        raise MethodError(f"cannot colour a lens by {by!r}", hint=f"by {', '.join(_COLOURS)}")
    if by == "target":
        if found.target_probability is None:
            raise MethodError("no token was asked for", hint="lens(..., target=' Mary')")
        return found.target_probability
    return {"probability": found.probabilities[..., 0], "kl": found.kl, "entropy": found.entropy}[by]
