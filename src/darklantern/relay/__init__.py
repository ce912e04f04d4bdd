"""A relay: logs and sealed blobs for devices that are not awake at the same time.

In: requests of devices. Out: entries, checkpoints and ciphertext. It never opens anything sealed, never decides
who is a member, and keeps nothing in its own memory: several may serve one database and one store of blobs.

So far its lowest floor, `relay.stores`.
"""
