"""`PYTHONPATH=bench python -m watching.peers`: the side by side alone, or a part of it."""

import argparse
import json
from itertools import chain

from watching.experiments import EXPERIMENTS
from watching.peers.names import PEERS
from watching.peers.plan import Counts
from watching.peers.room import overheads, room

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("experiments", nargs="*", metavar="E", help=f"of {', '.join(EXPERIMENTS)}; all when left out")
parser.add_argument("--peer", action="append", choices=[peer.name for peer in PEERS], help="all when left out")
parser.add_argument("--poisoned", type=int, default=Counts.poisoned, help="poisoned runs, and further clean ones")
parser.add_argument("--harmless", type=int, default=Counts.harmless, help="runs of each other harmless arm")
parser.add_argument("--strata", type=int, default=Counts.strata, help="such runs behind the threshold: none, or 19")
parser.add_argument("--workers", type=int, default=2, help="runs at a time")
parser.add_argument("--overhead", choices=("also", "only", "no"), default="also")

if __name__ == "__main__":
    asked = parser.parse_args()
    wrong = set(asked.experiments) - set(EXPERIMENTS)
    if wrong:
        parser.error(f"no experiment {', '.join(sorted(wrong))}")
    experiments = () if asked.overhead == "only" else asked.experiments or tuple(EXPERIMENTS)
    peers = asked.peer or [peer.name for peer in PEERS]
    counts = Counts(further=asked.poisoned, poisoned=asked.poisoned, harmless=asked.harmless, strata=asked.strata)
    found = [room(experiments, peers, counts, asked.workers)]
    found += [overheads([peer for peer in PEERS if peer.name in peers])] if asked.overhead != "no" else []
    for line in chain(*found):
        print(json.dumps(line, ensure_ascii=False), flush=True)
