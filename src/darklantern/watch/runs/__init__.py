"""A run as others see it from outside: its folder, what they ask of it, the watchdog beside it, who is told.

In: steps, from the loop; wishes, from files. Out: a heartbeat, answers, notices. Nothing here looks into a model, and
nothing that goes wrong here reaches the loop as an error once the run was opened.
"""
