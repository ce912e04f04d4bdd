"""A strictly bounded place to run what nobody trusts, and a way out of it that is metered in bits."""
