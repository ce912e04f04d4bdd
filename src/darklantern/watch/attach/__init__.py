"""Adapters to training loops: one file for each framework, each the same interface `Tap`."""
