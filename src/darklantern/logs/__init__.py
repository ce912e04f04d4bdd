"""Merkle logs, their checkpoints, and the framing of a sync.

In: hashes, notes and frames as bytes. Out: roots, signed notes and streams, or an error that says
what does not hold together. This room never stores a log, never makes or holds a key (callers pass
one in), and never looks into an entry.

Three modules, used by their names: `merkle.root`, `checkpoint.verify`, `stream.read`.
"""

from darklantern.logs import checkpoint, merkle, stream

__all__ = ["checkpoint", "merkle", "stream"]
