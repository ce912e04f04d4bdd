"""Confinement: which rung this machine can hold, and the command line that puts a program behind it."""
