"""The process's random streams: Python's, NumPy's global, torch's and each CUDA device's, as JSON values.

torch's are there once torch is loaded. JAX has none: its keys are part of the state that a loop carries on. A generator
of one's own is not among them either: whoever holds it keeps its state, as a loader does in its cursor.
"""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from darklantern.errors import SnapshotError

if TYPE_CHECKING:
    from torch import Tensor

_WORDS = 624
"""of a Mersenne Twister"""


def capture() -> dict[str, Any]:
    """Where each stream stands. Draws from none."""
    torch = sys.modules.get("torch")
    return {
        "python": random.getstate(),
        "numpy": _numpy(np.random.get_state(legacy=False)),
        "torch": None if torch is None else _hex(torch.get_rng_state()),
        "cuda": [_hex(state) for state in torch.cuda.get_rng_state_all()]
        if torch and torch.cuda.is_available()
        else [],
    }


def check(state: dict[str, Any]) -> None:
    """Raises SnapshotError when `state` is not one that `restore` can set here. Sets nothing."""
    try:
        random.Random().setstate(_python(state["python"]))
        _check_numpy(state["numpy"])
        if state["torch"] is not None:
            _check_torch(state)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError, ImportError) as error:
        raise SnapshotError(
            f"the snapshot's random streams cannot be set here: {error}",
            hint="go on where the snapshot was taken: the same number of GPUs and the same versions",
        ) from error


def restore(state: dict[str, Any]) -> None:
    """Put each stream back, bit for bit. `check` first: what does not fit raises half-way here.

    A stream of torch's that was not loaded yet when `state` was taken is left as it is.
    """
    random.setstate(_python(state["python"]))
    np.random.set_state(state["numpy"])
    if state["torch"] is not None:
        torch = import_module("torch")
        torch.set_rng_state(_tensor(state["torch"]))
        if state["cuda"]:
            torch.cuda.set_rng_state_all([_tensor(each) for each in state["cuda"]])


@contextmanager
def left_alone() -> Iterator[None]:
    """Whatever is drawn within: afterwards each stream stands where it stood, bit for bit.

    As `capture` and `restore`, and cheaper, since nothing is made JSON. A CUDA device that is first used within begins
    its stream there.
    """
    torch = sys.modules.get("torch")
    python, numpy = random.getstate(), np.random.get_state(legacy=False)
    drawn = None if torch is None else torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch is not None and torch.cuda.is_initialized() else []
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        if torch is not None:
            torch.set_rng_state(drawn)
            if cuda:
                torch.cuda.set_rng_state_all(cuda)


def _check_torch(state: dict[str, Any]) -> None:
    torch = import_module("torch")
    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if len(state["cuda"]) != devices:
        raise ValueError(f"{len(state['cuda'])} CUDA streams, and this process has {devices}")
    torch.Generator().set_state(_tensor(state["torch"]))
    for index, each in enumerate(state["cuda"]):
        torch.Generator(f"cuda:{index}").set_state(_tensor(each))


def _check_numpy(state: dict[str, Any]) -> None:
    name = _numpy(np.random.get_state(legacy=False))["bit_generator"]
    if state["bit_generator"] != name:
        raise ValueError(f"NumPy's stream is of {state['bit_generator']}, here of {name}")
    scratch = np.random.RandomState(getattr(np.random, name)())
    scratch.set_state(state)
    # NumPy takes any position, and would then read beyond the key.
    if _numpy(scratch.get_state(legacy=False)) != state or not 0 <= state["state"].get("pos", 0) <= _WORDS:
        raise ValueError("NumPy's stream has a state that it never takes")


def _python(state: Any) -> tuple[Any, ...]:
    version, words, gauss = state
    return version, tuple(words), None if gauss is None else float(gauss)


def _numpy(state: Any) -> dict[str, Any]:
    words = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in state["state"].items()}
    return {**state, "state": words}


def _hex(state: "Tensor") -> str:
    return state.numpy().tobytes().hex()


def _tensor(text: str) -> "Tensor":
    torch = import_module("torch")
    made: Tensor = torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)
    return made
