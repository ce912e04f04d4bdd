"""Frozen values and their exact bytes.

In: fields. Out: immutable values, and one byte string for each. This room holds data only: it
judges nothing, signs nothing, reads and writes no file.
"""

from darklantern.records.exact import Value, decode, encode

__all__ = ["Value", "decode", "encode"]
