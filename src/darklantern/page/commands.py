"""The commands that the page tells people to type: one place, and a test compares it with the CLI."""

DEMO = "darklantern demo"
SYNC = "darklantern sync"
RERUN = "darklantern rerun {item}"
"""Only the id of a finding goes in, never a peer's text: people paste this into a shell."""
