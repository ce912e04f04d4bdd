"""`wandb.watch`: histograms of gradients and parameters, offline. It has no alarm of its own on what it logs.

As documented: `wandb.watch(model, log="all", log_freq=N)` after `wandb.init`, and a `run.log` each step. What it gave
is read from the run's own file, a log in LevelDB's format of protobuf records.
"""

import json
import re
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import wandb
from wandb.proto import wandb_internal_pb2

from watching.peers.attached import Attached, Loop, by_look
from watching.peers.histograms import Moments, streams
from watching.peers.ran import Given

PACKAGE = "wandb"
PATIENCE = 60.0
"""seconds"""
_BLOCK, _HEAD, _FILE_HEAD = 32768, 7, 7


class Watched(Attached):
    """A run of Weights & Biases that watches the model."""

    def __init__(self, loop: Loop) -> None:
        self._loop, self._done = loop, 0
        settings = wandb.Settings(console="off", silent=True, x_disable_stats=True, x_disable_machine_info=True)
        self._run = wandb.init(project="bench", dir=str(loop.folder), mode="offline", settings=settings)
        self._run.watch(loop.model, log="all", log_freq=loop.every)

    def after(self, step: int, loss: float, batch: Any) -> None:
        self._run.log({"loss": loss})
        self._done = step

    def close(self) -> None:
        self._run.finish()

    def given(self) -> Given:
        (path,) = self._loop.folder.glob("wandb/offline-run-*/run-*.wandb")
        losses: list[float] = []
        looks: list[dict[str, Moments]] = []
        for held in _history(path):
            losses.append(json.loads(held["loss"][""]))
            found = {
                _named(name): Moments.of(json.loads(parts["values"]), json.loads(parts["bins"]))
                for name, parts in held.items()
                if parts.get("_type") == '"histogram"'
            }
            if found:
                looks.append(found)
        steps, means = by_look(self._loop.every, losses)
        if len(losses) != self._done or len(looks) != len(steps):
            raise ValueError(f"{len(losses)} of {self._done} steps in wandb's file, and {len(looks)} looks")
        return Given(steps, {"loss": means, **streams(looks)})


def attach(loop: Loop) -> Watched:
    """A watched run."""
    return Watched(loop)


def _named(name: str) -> str:
    """From the second watch of a process on, wandb puts its number before the names."""
    return re.sub(r"/graph_\d+", "/", name)


def _history(path: Path) -> Iterator[dict[str, dict[str, str]]]:
    for record in _whole(path):
        if record.WhichOneof("record_type") == "history":
            held: dict[str, dict[str, str]] = {}
            for item in record.history.item:
                name, part = (*(list(item.nested_key) or [item.key]), "")[:2]
                held.setdefault(name, {})[part] = item.value_json
            yield held


def _whole(path: Path) -> list[Any]:
    """All records, once the last one is there: the process that writes them may still be at it after `finish`."""
    until = time.monotonic() + PATIENCE
    while True:
        found = [wandb_internal_pb2.Record.FromString(data) for data in _records(path.read_bytes())]
        if any(record.WhichOneof("record_type") == "exit" for record in found[-3:]) or time.monotonic() > until:
            return found
        time.sleep(0.2)


def _records(data: bytes) -> Iterator[bytes]:
    at, held = _FILE_HEAD, b""
    while at + _HEAD <= len(data):
        left = _BLOCK - at % _BLOCK
        if left < _HEAD:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        body = data[at + _HEAD : at + _HEAD + length]
        if at + _HEAD + length > len(data):
            return  # not written to its end yet
        at += _HEAD + length
        held = body if kind in (1, 2) else held + body  # whole, first; else middle or last
        if kind in (1, 4):
            yield held
