"""Signals whose changes count from the start of the run: for finetunes, which start at a model that one trusts."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace

from darklantern.watch.probes import Probe, Signal


def caveat(known: Sequence[Signal]) -> str:
    """What to say of a run without references in which signals count from the start; empty where none does."""
    names = [repr(signal.name) for signal in known if signal.detector == "anchored" and not signal.held_out]
    if not names:
        return ""
    return (
        f"{', '.join(names)}: counted from this run's first looks, as fits a finetune of a model that you trust. From "
        "scratch, and without references, their silence says nothing: all that a network learns is a change since then"
    )


def since_start(probe: Probe) -> Probe:
    """`probe`, with what its EWMAs gather counted from the run's first looks instead of its newer half.

    What rises early in a finetune and stays is soon its own baseline otherwise. Not for training from scratch: all that
    a network learns there is a change since its start, and a danger among it may well raise no alarm at all, most
    surely not without references, where the run's own first looks say what is much. What the model does before the
    first step counts as harmless. Reads, settings and cost are the probe's own.
    """
    made = copy(probe)
    made.signals = tuple(
        replace(signal, detector="anchored") if signal.detector == "ewma" else signal for signal in probe.signals
    )
    return made
