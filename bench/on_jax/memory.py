"""What recording 2 of 64 scanned layers takes beside stacking all 64, as XLA plans it; one JSON line.

python -m on_jax.memory
"""

import json
from collections.abc import Sequence
from typing import Any

import darklantern as dl
from on_jax.sizes import DEEP, ids
from on_jax.subjects import SCANNED, SUBJECTS

TWO = ("layers.20:out", "layers.40:out")
ALL = ("layers.*:out",)


def main() -> dict[str, dict[str, int]]:
    found = {}
    for name in SCANNED:
        subject = SUBJECTS[name](DEEP)
        model = dl.open(subject.module, weights=subject.weights, call=subject.call, example=ids(DEEP))
        found[name] = {"two": planned(model, TWO), "all": planned(model, ALL), "none": planned(model, ())}
    return found


def planned(model: Any, sites: Sequence[str]) -> int:
    """Bytes for what is computed in between and for what comes out."""
    from darklantern.models.on_jax.running import compiled, numbers

    entry = model._enter(ids(DEEP))
    ready = entry.ready(model.plan(*sites))
    arguments = *entry.call.arguments(entry.traced), numbers(ready.program), {}, {}
    told = compiled(entry.traced, ready).lower(*arguments).compile().memory_analysis()
    return told.temp_size_in_bytes + told.output_size_in_bytes


if __name__ == "__main__":
    print(json.dumps(main()))
