"""The product's worker: darklantern, against the same requests as the peers."""

import sys
from typing import Any

from torch import Tensor, nn

from darklantern import models as inside
from darklantern.models import edits
from models import cases, sharding
from models.names import ONCE, TIMED, TOLD
from models.protocol import Request, serve


def sharded(request: Request) -> dict[str, object]:
    return sharding.launch("models.ours", request.out)


def read_shards(model: nn.Module, hidden: Tensor) -> tuple[dict[str, Any], Tensor]:
    """On each rank: what the MLP's inner ports give, and the output when the up-projection is halved."""
    sites = {"gate_proj": "gate_proj:out", "up_proj": "up_proj:out", "down_proj_input": "down_proj:in"}
    sites["down_proj"] = "down_proj:out"
    view = inside.open(model)
    seen = view.record(hidden, *sites.values())
    values = {name: seen[site].array for name, site in sites.items()}
    return values, view.run(hidden, {"up_proj:out": edits.scale(0.5)})


CASES = {name: cases.unsupported("not written yet") for name in (*TIMED, *TOLD, *ONCE)} | {"sharded_truth": sharded}

if __name__ == "__main__":
    if "--rank" in sys.argv:
        sharding.rank(read_shards)
    else:
        serve("darklantern", "darklantern", CASES)
