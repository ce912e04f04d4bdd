"""What else there is to watch a run with, beside `darklantern.watch`: same loops, same seeds, same thresholds.

In: an experiment, and peers in environments of their own. Out: a file a run with the streams that a peer gave and the
steps at which it raised its own alarm; from those, bench lines. A peer is attached as its documentation says and is
never told what was planted or when.
"""
