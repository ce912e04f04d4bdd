"""Signals whose changes count from the start of the run: for finetunes, which start at a model that one trusts."""

from copy import copy
from dataclasses import replace

from darklantern.watch.probes import Probe


def since_start(probe: Probe) -> Probe:
    """`probe`, with what its EWMAs gather counted from the run's first looks instead of its newer half.

    What rises early in a finetune and stays is soon its own baseline otherwise. Not for training from scratch: all that
    a network learns there is a change since its start. Reads, settings and cost are the probe's own.
    """
    made = copy(probe)
    made.signals = tuple(
        replace(signal, detector="anchored") if signal.detector == "ewma" else signal for signal in probe.signals
    )
    return made
