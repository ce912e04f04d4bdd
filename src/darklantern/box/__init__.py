"""A strictly bounded place to run what nobody trusts, and a way out of it that is metered in bits.

In: a declaration, and a project's budget. Out: a transcript of symbols, each with its price, and a report. Never what a
box wrote but as frames of sixteen bytes, never more transcripts than the budget allows, and never a run on a rung that
was not tried first.
"""
