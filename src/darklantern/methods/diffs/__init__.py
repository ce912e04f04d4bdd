"""What changed inside a model between two checkpoints.

In: both, opened, and data; directions found in the first, and contrasts of a behaviour, where there are some. Out: how
far sites, heads and neurons moved, along which directions, and what the outputs make of it; whether the directions
moved; which edges of a circuit appeared, vanished and changed. Runs both on the same data and keeps sums, a sample of
rows, a vector for each example of a direction, a table of edges for each contrast: never all activations. Never: that a
direction moved or an edge changed where another draw of the data would have done as much.
"""

from darklantern.methods.diffs.changes import Diff, SiteDiff
from darklantern.methods.diffs.comparing import diff
from darklantern.methods.diffs.followed import DirectionDiff, Followed
from darklantern.methods.diffs.rewired import CircuitDiff, EdgeChange

__all__ = ["CircuitDiff", "Diff", "DirectionDiff", "EdgeChange", "Followed", "SiteDiff", "diff"]
