"""Attacks on a box: each first shown to work without one, then tried within it. What cannot work here shows nothing."""
