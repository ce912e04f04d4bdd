"""Run evidence again: a recipe's name is looked up in a local table, hashes are checked, figures compared.

In: evidence and the bytes of its artifacts. Out: each figure beside the one that was claimed. A
recipe names one of our own functions; nothing that a peer wrote is ever executed.
"""

from darklantern.replication.rerun import Compared, Replication, rerun
from darklantern.replication.table import TABLE

__all__ = ["TABLE", "Compared", "Replication", "rerun"]
