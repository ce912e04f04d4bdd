"""Of each signal a hash of what its readings come from: a calibration holds for a run that reads the same.

In: what a watch is made of. Out: hashes, to compare with those in references. Each signal has its own, so that one more
probe takes no claim from the others.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from darklantern.errors import WatchError
from darklantern.watch import table
from darklantern.watch.examples import Examples
from darklantern.watch.own_signals import UNKNOWN
from darklantern.watch.probes import Probe, Signal
from darklantern.watch.sampling import MOST
from darklantern.watch.settings import Settings
from darklantern.watch.spans import counting


def digests(probes: Sequence[Probe], trusted: Examples, settings: Settings) -> dict[str, str]:
    """Signal → hash of its probe's settings, of what it reads, and of how rows are kept and counted for it.

    Empty for a signal of one's own that uses what no hash can speak for. Which examples are trusted is not in it, only
    how many and how wide: a recipe that draws them anew for each run may do so, and says how in its own hash.
    Raises WatchError for settings that are no JSON values.
    """
    kept = {
        "history": settings.history,
        "counted": MOST,
        "spans": counting() if trusted.are_tokens else None,
        "trusted": [len(trusted), *trusted.inputs.shape[1:]],
    }
    found = {}
    for probe in probes:
        stated = _stated(probe)
        for signal in probe.signals:
            parts = [probe.name or type(probe).__qualname__, stated, _read(signal), kept]
            found[signal.name] = "" if stated.get(UNKNOWN) else _hash(parts)
    return found


def judged(digest: str, signal: Signal, constants: dict[str, Any]) -> str | None:
    """With how the signal is judged: the detectors' `constants`, and what it claims. None where `digest` is empty."""
    judging = [signal.role, signal.says, signal.detector, signal.grain]
    return _hash([digest, judging, constants]) if digest else None


def hashed(text: str) -> str:
    """What a recipe, or data, is compared by: a hash as it is, of any other text its SHA-256, of nothing nothing."""
    return text if not text or re.fullmatch("[0-9a-f]{64}", text) else hashlib.sha256(text.encode()).hexdigest()


def _read(signal: Signal) -> list[str]:
    return [signal.name, signal.tier, signal.unit, signal.reads, signal.placebo, signal.compares]


def _stated(probe: Probe) -> dict[str, Any]:
    try:
        return table.stated(probe)
    except (TypeError, ValueError) as error:
        raise WatchError(
            f"the settings of {probe!r} are not JSON values: {error}",
            hint="its `settings` are texts, numbers, lists and maps, all that decides its readings",
        ) from error


def _hash(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
