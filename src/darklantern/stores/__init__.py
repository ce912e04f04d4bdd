"""Real storage: an encrypted database and a folder of sealed pieces, together one vault.

In: a folder, a passphrase, and changes as values. Out: contents as values. All of a change is written
or none of it. This room never judges what it stores, and it never puts plaintext on a disk: the
database is SQLCipher, and the pieces are ciphertext before they come here.
"""

from darklantern.stores.blobs import Blobs
from darklantern.stores.database import Database
from darklantern.stores.passphrase import RECOMMENDED, Cost
from darklantern.stores.values import Change, Contents
from darklantern.stores.vault import Vault, create_vault, open_vault

__all__ = [
    "RECOMMENDED",
    "Blobs",
    "Change",
    "Contents",
    "Cost",
    "Database",
    "Vault",
    "create_vault",
    "open_vault",
]
