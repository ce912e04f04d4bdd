"""What a watch asks of a loader, whatever the framework: that it says where it stands, and goes back there."""

import json
import sys
from typing import Any

from darklantern.errors import DarkLanternError, WatchError
from darklantern.models.cursors import Cursor, unlike_json
from darklantern.models.state_trees import put_together, taken_apart


def rewinds(loader: Any) -> str:
    """Empty for a loader that a rollback can rewind; otherwise why it can't."""
    if loader is None:
        return "the watch was given no loader in `state`"
    if _has(loader, "state", "restore"):
        return ""
    if not _has(loader, "state_dict", "load_state_dict"):
        return (
            f"{type(loader).__name__} has no state() and restore(state), so the data could not be rewound; "
            "darklantern.rewindable(dataset, batch_size=...) makes one that has"
        )
    if getattr(loader, "num_workers", 0):
        return (
            f"{type(loader).__name__} has {loader.num_workers} workers, whose random streams no state holds; "
            "num_workers=0, or darklantern.rewindable(dataset, batch_size=...), could be rewound"
        )
    return ""


def position(loader: Any) -> Cursor:
    """`loader`, which `rewinds`, as something with `state()` and `restore(state)`."""
    return loader if _has(loader, "state", "restore") else StateDicts(loader)


def go_to(loader: Any, cursor: str) -> None:
    """Put `loader` back to where `cursor` was taken; nothing for one that does not say where it stands."""
    if cursor:
        position(loader).restore(json.loads(cursor))


def cursor(loader: Any) -> str:
    """Where `loader` stands, as JSON; the same text always for one that does not say.

    Raises WatchError when it says so in other than JSON values.
    """
    if rewinds(loader):
        return ""
    try:
        return json.dumps(position(loader).state(), sort_keys=True)
    except (TypeError, ValueError, DarkLanternError) as error:
        raise WatchError(
            f"{type(loader).__name__}.state() is not made of JSON values: {error}",
            hint="return numbers, texts, lists and maps of them; for NumPy's Generator, bit_generator.state",
        ) from error


def check(loader: Any) -> None:
    """Raises WatchError for a loader that says where it stands in what JSON gives back as something else."""
    text = cursor(loader)
    if not text:
        return
    state = position(loader).state()
    if (other := unlike_json(state, json.loads(text))) is not None:
        raise WatchError(
            f"{type(loader).__name__}.state() comes back from JSON as something else: {other}",
            hint="texts as keys and lists in the place of tuples; restore(state) is given what JSON gives back",
        )


class StateDicts:
    """A loader with `state_dict` and `load_state_dict`, such as torchdata's StatefulDataLoader.

    Their tensors, the states of its generators, become texts, so that the whole fits into JSON.
    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def state(self) -> dict[str, Any]:
        held: dict[str, Any] = {}

        def keep(name: str, tensor: Any) -> None:
            array = tensor.detach().cpu().numpy()
            held[name] = [str(array.dtype), list(array.shape), array.tobytes().hex()]

        tree = taken_apart(self._loader.state_dict(), "state", keep, _is_tensor)
        return {"tree": tree, "tensors": held}

    def restore(self, state: dict[str, Any]) -> None:
        tensors = {name: _tensor(*each) for name, each in state["tensors"].items()}
        self._loader.load_state_dict(put_together(state["tree"], tensors))
        # It makes its next iterator now, which draws from torch's random stream; the streams are put back after this.
        self._loader.state_dict()


def _has(loader: Any, *names: str) -> bool:
    return all(callable(getattr(loader, name, None)) for name in names)


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _tensor(dtype: str, shape: list[int], data: str) -> Any:
    import numpy as np

    array = np.frombuffer(bytearray.fromhex(data), dtype=dtype).reshape(shape)
    return sys.modules["torch"].from_numpy(array)
