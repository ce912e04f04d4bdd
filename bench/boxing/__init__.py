"""The room `box`: attacks, prices, and what a box costs a program."""
