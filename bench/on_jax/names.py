"""Names that the driver needs and the workers have: no framework here."""

SUBJECTS = ("linen", "linen_scan", "nnx", "equinox_scan", "haiku_stack")
CASES = (
    "idle",
    "capture_12_blocks",
    "steering",
    "stop_after_block_1",
    "start_at_block_9",
    "attention_patterns_12",
)
OWN = "capture of its own"
