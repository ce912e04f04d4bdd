"""What each process of test_jax_ranks does: `jax.distributed`, two processes on one machine; says what came of it."""

import json
import sys
from typing import Any

import jax

jax.distributed.initialize(f"127.0.0.1:{sys.argv[2]}", 2, int(sys.argv[1]))

import numpy as np  # noqa: E402
from jax.sharding import Mesh, NamedSharding, PartitionSpec  # noqa: E402
from watch.jax_loops import LM, fresh  # noqa: E402
from watch.loops import TRUSTED, Scripted  # noqa: E402

from darklantern.errors import DarkLanternError  # noqa: E402
from darklantern.watch import Settings, agreeing, watch  # noqa: E402
from darklantern.watch.attach import ranks  # noqa: E402
from darklantern.watch.attach.jax_loop import JaxTap  # noqa: E402


def said(call: Any) -> str:
    try:
        call()
    except DarkLanternError as error:
        return f"{type(error).__name__}: {error.message}"
    return "nothing"


def main() -> None:
    ours = ranks.of_jax()

    def fails() -> None:
        if ours.rank == 1:
            raise ZeroDivisionError("in the signal")

    told: dict[str, Any] = {
        "rank": [ours.rank, ours.count],
        "gathered": ours.gather({"text": "é" * (1 + ours.rank), "numbers": [0.1] * ours.rank}),
        "failure": said(lambda: agreeing.together(ours, fails, "the look")),
    }
    rows = [batch.astype(np.int64) for batch in np.split(TRUSTED[:64], 4)]
    looks = Scripted(lambda look: float(look * (1 + ours.rank)))
    w = watch(LM, state=(fresh(), None), trusted=TRUSTED, signals=[looks], settings=Settings(every=1))
    for _ in w.over(rows):
        w.state = w.state  # each process trains the same; what matters is that their looks agree
    told["readings"] = [reading.value for reading in w.trace.tracks["scripted"].readings]
    mesh = Mesh(np.array(jax.devices()), ("data",))
    spanning = jax.make_array_from_process_local_data(NamedSharding(mesh, PartitionSpec("data")), rows[0])
    told["held of both"] = [JaxTap(LM, {"w": spanning}, None, dict, None).state_bytes(), spanning.nbytes]
    w = watch(LM, state=(fresh(), None), trusted=TRUSTED, signals=[looks])
    told["a batch over both"] = said(lambda: next(iter(w.over([spanning]))))
    print(json.dumps(told))


main()
