"""What changed inside a model between two checkpoints.

In: both, opened, and data. Out: how far sites, heads and neurons moved, along which directions, and what the outputs
make of it. Runs both on the same data; keeps sums and a sample of rows, never all activations.
"""

from darklantern.methods.diffs.changes import Diff, SiteDiff
from darklantern.methods.diffs.comparing import diff

__all__ = ["Diff", "SiteDiff", "diff"]
