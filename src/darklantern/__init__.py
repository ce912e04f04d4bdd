"""Look inside a neural network while it trains, react to dangerous circuits, share what you find, sealed.

The public names, on one screen. Each loads its room when first used, so that importing this package
loads neither torch nor jax.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_ROOMS = {
    # look inside
    "open": "models",
    # methods
    "sweep": "methods",
    "trigger_circuit": "methods",
    # watch training
    "watch": "watch",
    "PayloadProbe": "watch",
    "SpanProbe": "watch",
    "Reaction": "watch",
    "Settings": "watch",
    # write down, judge, run again
    "Evidence": "records",
    "Finding": "records",
    "assess": "assess",
    "rerun": "replication",
    # errors
    "DarkLanternError": "errors",
}

__all__ = [
    "DarkLanternError",
    "Evidence",
    "Finding",
    "PayloadProbe",
    "Reaction",
    "Settings",
    "SpanProbe",
    "__version__",
    "assess",
    "open",
    "rerun",
    "sweep",
    "trigger_circuit",
    "watch",
]

if TYPE_CHECKING:
    from darklantern.assess import assess
    from darklantern.errors import DarkLanternError
    from darklantern.methods import sweep, trigger_circuit
    from darklantern.models import open
    from darklantern.records import Evidence, Finding
    from darklantern.replication import rerun
    from darklantern.watch import PayloadProbe, Reaction, Settings, SpanProbe, watch


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'darklantern' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"darklantern.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
