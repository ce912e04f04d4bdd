"""A relay: logs and sealed blobs for devices that are not awake at the same time.

In: requests of devices, and of other relays. Out: entries, checkpoints and ciphertext. It never opens anything
sealed, never decides who is a member, and keeps nothing in its own memory: what it holds there is a cache, and
several may serve one database and one store of blobs.

    app ─ service ─┬─ logins          who asks
                   ├─ appending ─┬─ judging    records, one by one
                   │             └─ writing    and to disk together
                   ├─ pieces          blobs
                   └─ witnessing      cosignatures
    chores ─ pulling ─ mirroring ─ taking ─ peers    other relays
    stores                            the database and the blobs
"""
