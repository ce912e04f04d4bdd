"""Start the workers, ask them case by case in small rounds, collect what they answer."""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from models import peers
from models.names import FOR_ANY, MODELS, ONCE, OTHERS, TIMED, TOLD

ROUNDS, REPEATS = 8, 15  # of all workers in turn: what disturbs the machine disturbs them all
LONG_ROUNDS, LONG_REPEATS = 3, 1  # of the sweep, hundreds of forwards long
SECONDS = 120.0


class Worker:
    """One process that answers; started again after it died or was too slow."""

    def __init__(self, peer: peers.Peer, seconds: float = SECONDS) -> None:
        self.peer, self.seconds = peer, seconds
        self.hello: dict[str, Any] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.buffer = b""

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer, or {"error": …} where the worker cannot start, dies or takes too long."""
        try:
            if self.process is None:
                self._start()
            assert self.process is not None and self.process.stdin is not None
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
            return self._line()
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            self.close()
            return {"error": f"{type(error).__name__}: {error}"}

    def _start(self) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(peers.ROOT / "bench"), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        self.buffer = b""
        self.process = subprocess.Popen(
            [str(peers.python(self.peer)), "-W", "ignore", "-m", self.peer.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("BENCH_NOISY") else subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        self.hello = self._line()["hello"]

    def _line(self) -> dict[str, Any]:
        assert self.process is not None and self.process.stdout is not None
        until = time.monotonic() + self.seconds
        while b"\n" not in self.buffer:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise TimeoutError(f"no answer in {self.seconds:g} s")
            part = os.read(self.process.stdout.fileno(), 1 << 20)
            if not part:
                raise EOFError(f"the worker ended with status {self.process.wait()}")
            self.buffer += part
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def close(self) -> None:
        """End the process and what it started."""
        if self.process is not None:
            if self.process.poll() is None:
                os.killpg(self.process.pid, 9)
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    pipe.close()
            self.process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class Answer:
    """All that one worker answered to one case on one model."""

    bare: list[float] = field(default_factory=list)
    case: list[float] = field(default_factory=list)
    detail: dict[str, Any] = field(default_factory=dict)
    unsupported: str | None = None
    error: str | None = None

    def add(self, said: dict[str, Any]) -> None:
        """One round's answer joined to those before."""
        self.unsupported = self.unsupported or said.get("unsupported")
        self.error = self.error or said.get("error")
        self.bare += said.get("bare", [])
        self.case += said.get("case", [])
        self.detail |= said.get("detail", {})

    @property
    def over(self) -> bool:
        """Whether asking again is of no use."""
        return self.unsupported is not None or self.error is not None


@dataclass(frozen=True)
class Results:
    """Answers by case, model and worker; who could not take part, and why; every version."""

    answers: dict[tuple[str, str, str], Answer]
    hellos: dict[str, dict[str, Any]]
    absent: dict[str, str]
    sweeps: Path


def collect(only: Sequence[str] = ()) -> Results:
    """Every case on every model from every worker that is there; `only` names cases."""
    out = Path(tempfile.mkdtemp(prefix="bench-models-"))
    absent = {peer.name: why for peer in peers.WORKERS if (why := peers.why_absent(peer))}
    workers = [Worker(peer) for peer in peers.WORKERS if peer.name not in absent]
    answers: dict[tuple[str, str, str], Answer] = {}
    try:
        for case, model, rounds, repeats in _plan(only):
            for _ in range(rounds):
                for worker in workers:
                    answer = answers.setdefault((case, model, worker.peer.name), Answer())
                    if not answer.over:
                        request = {"case": case, "model": model, "repeats": repeats, "out": str(out)}
                        answer.add(worker.ask(request))
            print(f"{case} {model}", file=sys.stderr, flush=True)
    finally:
        for worker in workers:
            worker.close()
    return Results(answers, {worker.peer.name: worker.hello for worker in workers if worker.hello}, absent, out)


def _plan(only: Sequence[str]) -> Iterator[tuple[str, str, int, int]]:
    for case in (*TIMED, *TOLD, *ONCE):
        if only and case not in only:
            continue
        long = case == "patch_sweep"
        rounds, repeats = (LONG_ROUNDS, LONG_REPEATS) if long else (ROUNDS, REPEATS) if case in TIMED else (1, 1)
        for model in ("llama",) if case in ONCE else (*MODELS, *(OTHERS if case in FOR_ANY else ())):
            yield case, model, rounds, repeats
