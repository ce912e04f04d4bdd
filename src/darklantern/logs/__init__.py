"""Merkle logs, their checkpoints, and the framing of a sync.

In: hashes, notes and frames as bytes. Out: roots, signed notes and streams, or an error that says
what does not hold together. This room never stores a log, never makes or holds a key (callers pass
one in), and never looks into an entry.

Modules, used by their names: `merkle.root`, `checkpoint.verify`, `witness.cosigned`, `add_checkpoint.judge`,
`stream.read`.
"""

from darklantern.logs import add_checkpoint, checkpoint, merkle, stream, witness

__all__ = ["add_checkpoint", "checkpoint", "merkle", "stream", "witness"]
