"""The room `jax`: the product beside what each framework jits by itself, and beside the captures that two of them have."""
