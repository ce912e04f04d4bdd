"""The main job: train, watch, alarm, roll back, find, assess, share sealed, read.

In: a seed and an empty folder. Out: the folder, holding what two organisations would hold. It
uses each room as a user would and knows nothing that the watch is not told, until labels open.
"""
