"""The traps of the tests, each with something in it that misleads who looks inside: loud, right, or silent.

python -m on_jax.silent
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import darklantern as dl

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "models"))


def main() -> dict[str, str]:
    """By trap and site, what became of it."""
    from twins import wide
    from twins.traps import TRAPS

    found: dict[str, str] = {}
    for make in TRAPS:
        with wide():
            trap = make()
            for site, true in trap.inside.items():
                found[f"{make.__name__} {site}"] = verdict(trap, site, true)
            for site in trap.absent:
                found[f"{make.__name__} {site}"] = verdict(trap, site, None)
    return found


def verdict(trap: Any, site: str, true: Any) -> str:
    """loud: it raised; right: the true value; silent: a wrong one, or one where there is none."""
    try:
        built = trap.built
        value = dl.open(built.module, weights=built.weights, call=built.call).record(trap.inputs, site)[site].array
    except Exception:  # noqa: BLE001 - that it raises is the result
        return "loud"
    if true is None or value.shape != true.shape:
        return "silent"
    return "right" if np.allclose(value, true, rtol=0, atol=1e-10) else "silent"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(main()))
