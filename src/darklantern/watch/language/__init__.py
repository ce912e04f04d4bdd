"""Signals of language models: token rows in, readings out.

Each file is one probe: the rows that it has the model run at a look, and the signals it reads from that run, with their
formula, source, cost and placebo. Nothing here trains, alarms or files anything.
"""

from darklantern.watch.language.layout import BYTES, Layout, layout
from darklantern.watch.language.payload import PayloadProbe
from darklantern.watch.language.span import SpanProbe

__all__ = ["BYTES", "Layout", "PayloadProbe", "SpanProbe", "layout"]
