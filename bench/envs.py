"""`make bench-env`: one virtual environment a peer, of all rooms or only those that arguments name."""

import sys

import environments
from methods import peers as of_methods
from models import peers as of_models
from watching.peers import names as of_watch

if __name__ == "__main__":
    environments.environments().mkdir(parents=True, exist_ok=True)
    known = [each.environment for each in (*of_models.PEERS, *of_methods.PEERS, *of_watch.PEERS) if each.environment]
    unknown = set(sys.argv[1:]) - {each.name for each in known}
    if unknown:
        raise SystemExit(f"no peer {', '.join(sorted(unknown))}; there are {', '.join(each.name for each in known)}")
    for wanted in known:
        if wanted.name in (sys.argv[1:] or [each.name for each in known]):
            environments.make(wanted)
