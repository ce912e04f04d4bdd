"""Parsers of bytes that others wrote, under bytes that nobody should have written (P32).

In: seeds that our own writers made, and what `mutations` or atheris makes of them. Out: nothing, or a crash: any
exception that is no DarkLanternError, a value that does not give its bytes back, memory out of proportion.

`test_p32.py` runs in the tests, with Hypothesis; `run.py` runs under atheris (`make fuzz SECONDS=600`). Both go through
the one table in `targets.py`. What was found lies in `found/`, a file for each crash, named after what it was.
"""
