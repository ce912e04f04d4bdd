"""What a worker speaks: JSON lines on stdin and stdout. Every environment reads this file, so it imports only torch.

    → {"case": "capture_12_blocks", "model": "gpt2", "repeats": 20, "out": "a folder"}
    ← {"bare": [seconds, …], "case": [seconds, …], "detail": {…}}      or {"unsupported": reason} or {"error": text}

The first line a worker says is {"hello": {"peer", "version", "versions"}}. Bare and case alternate within the worker,
so each ratio is over the untouched forward of the same process; untimed cases answer with empty lists.
"""

import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch


class Unsupported(Exception):
    """The peer has no way to do it; the message says why."""


@dataclass(frozen=True)
class Request:
    """One question of the driver. `out` is the folder for files that go with the answer."""

    case: str
    model: str
    repeats: int = 1
    out: Path = field(default_factory=Path)


@dataclass(frozen=True)
class Timed:
    """A case that is timed: the untouched forward, the peer's way, and what is checked once, untimed."""

    bare: Callable[[], object]
    case: Callable[[], object]
    detail: Callable[[], dict[str, Any]] = dict
    bare_calls: int = 1  # a long case is held against the mean of so many bare forwards


Case = Callable[[Request], Timed | dict[str, Any]]


def serve(peer: str, package: str | None, cases: dict[str, Case]) -> None:
    """Answer requests until stdin ends. What a peer prints goes to stderr: stdout belongs to the protocol."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    own = version(package) if package else torch.__version__
    versions = {name: version(name) for name in ("torch", "transformers", "numpy") if find_spec(name)}
    hello = {"peer": peer, "version": own, "versions": versions | {"python": sys.version.split()[0]}}
    print(json.dumps({"hello": hello}), file=answers)
    ready: dict[tuple[str, str], Timed] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        request = Request(asked["case"], asked["model"], asked["repeats"], Path(asked["out"]))
        print(json.dumps(_answer(request, cases, ready)), file=answers)


def _answer(request: Request, cases: dict[str, Case], ready: dict[tuple[str, str], Timed]) -> dict[str, Any]:
    key = (request.case, request.model)
    try:
        if request.case not in cases:
            raise Unsupported("no case of that name")
        detail: dict[str, Any] = {}
        if key not in ready:
            prepared = cases[request.case](request)
            if isinstance(prepared, dict):
                return {"bare": [], "case": [], "detail": prepared}
            ready.clear()  # one case at a time: a model that another case opened is not kept warm
            ready[key] = prepared
            detail = prepared.detail()
            for _ in range(3 if prepared.bare_calls == 1 else 0):
                prepared.bare(), prepared.case()
            gc.collect()
            gc.freeze()  # a collection then costs both sides what they themselves leave behind
        bare, case = _alternate(ready[key], request.repeats)
        return {"bare": bare, "case": case, "detail": detail}
    except Unsupported as reason:
        return {"unsupported": str(reason)}
    except Exception as error:  # noqa: BLE001 - a peer may raise anything, and it is a result
        traceback.print_exc()
        return {"error": said(error)}


def _alternate(timed: Timed, repeats: int) -> tuple[list[float], list[float]]:
    bare, case = [], []
    for pair in range(repeats):
        # Who goes first changes from pair to pair: the second of two finds warmer caches.
        for side in ("bare", "case") if pair % 2 == 0 else ("case", "bare"):
            if side == "bare":
                bare.append(_seconds(timed.bare, timed.bare_calls))
            else:
                case.append(_seconds(timed.case, 1))
    return bare, case


def _seconds(call: Callable[[], object], times: int) -> float:
    """Processor time of this process: other jobs on the machine do not count, helper threads of a peer do."""
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times


def said(error: BaseException) -> str:
    """An error in one line: its last type and the first line of what it says."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1].strip()[:160]}" if lines else type(error).__name__
