"""E1–E5: what a watch sees of known circuits as they form, how soon, and what it sees where none does."""
