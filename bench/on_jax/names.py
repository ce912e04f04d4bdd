"""Names that the driver needs and the workers have: no framework here."""

SUBJECTS = ("linen", "linen_scan", "nnx", "equinox_scan", "haiku_stack")
CASES = ("idle", "capture_12_blocks", "steering", "attention_patterns_12", "stop_after_block_1", "start_at_block_9")
CALLED = "{} · called"
"""of a case under jit, the same called from Python"""
OWN = "capture of its own"
