"""Directions as bars: AUROC with its interval, the controls in grey."""

import math
from typing import TYPE_CHECKING

import numpy as np

from darklantern.drawing import Bar, bars
from darklantern.models.picture import Picture

if TYPE_CHECKING:
    from darklantern.methods.directions.controls import Controls
    from darklantern.methods.directions.one import Direction
    from darklantern.methods.directions.several import Directions
    from darklantern.methods.directions.transfers import Transfer

_MOST = 28
"""sites that one picture holds"""
_NOTE = "Held-out AUROC; 0.5 is chance. Black: 95 % interval. Grey: mean of the controls, from lowest to highest."


def of_one(found: "Direction") -> Picture:
    return _picture([_bar(found.how, found), *_greys(found.controls)], f"Direction at {found.site}", found.says)


def of_several(found: "Directions") -> Picture:
    every = math.ceil(len(found.each) / _MOST)
    shown = [one for place, one in enumerate(found.each) if place % every == 0 or one is found.best]
    title = f"Directions by {found.best.how}" + f", every {every}th site and the best" * (every > 1)
    return _picture([*(_bar(str(one.site), one) for one in shown), *_greys(found.best.controls)], title, found.says)


def of_transfer(found: "Transfer") -> Picture:
    frozen = Bar(label="frozen", value=found.auroc.value, interval=found.auroc[1:])
    items = [frozen, _bar("refitted", found.refit), *_greys(found.refit.controls)]
    return _picture(items, f"Direction on other ground, at {found.refit.site}", found.says)


def _picture(items: list[Bar], title: str, says: str) -> Picture:
    return Picture(bars(items, title=title, unit="AUROC", note=_NOTE), title, says)


def _bar(name: str, one: "Direction") -> Bar:
    return Bar(label=name, value=one.auroc.value, interval=one.auroc[1:])


def _greys(controls: "Controls") -> list[Bar]:
    return [
        Bar(label=name, value=float(np.mean(found)), interval=(min(found), max(found)), control=True)
        for name, found in controls.pairs
    ]
