"""Threads: what people say about items and to a circle, folded from the log; what is unread; what is new.

In: a state and opened posts. Out: frozen threads, the same whatever order bundles came in, and notices for
this device's user. It believes nobody about somebody else's post, drops nothing without listing it, and
tells nothing over a network.
"""
