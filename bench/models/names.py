"""The words that driver, workers and lines share. No imports: the driver runs without torch."""

SEED = 20
MODELS = ("gpt2", "llama")
OTHERS = ("cnn", "vit", "mha")  # for the cases that are about any module
FOR_ANY = ("idle", "capture_12_blocks")
TIMED = (
    "idle",
    "capture_12_blocks",
    "stop_after_block_1",
    "start_at_block_9",
    "attention_patterns_12",
    "patch_sweep",
)
TOLD = ("grads_under_checkpointing",)  # by model, without a clock
ONCE = ("silent_failures", "sharded_truth", "import_seconds")  # whatever the model
