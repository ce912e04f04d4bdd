"""The room `jax`: the product beside what each framework jits by itself, and beside two frameworks' own captures."""
