"""The bench of the room `models`: what reaching into a model costs, and whether what comes back is true.

In come the peers' environments and the project's own; out go JSON lines and docs/results/models.md. One worker
process for each environment speaks `protocol`; the driver interleaves them. Nothing but `ours` imports darklantern,
and nothing here is installed.
"""
