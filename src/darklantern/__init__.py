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
    "load_recording": "models",
    "Inputs": "models.calling",
    "part": "models",
    "tag": "models",
    # what may replace the value at a site
    "add": "models.edits",
    "mean": "models.edits",
    "project": "models.edits",
    "put": "models.edits",
    "resample": "models.edits",
    "scale": "models.edits",
    "stop_gradient": "models.edits",
    "take": "models.edits",
    "zero": "models.edits",
    # methods
    "ablate": "methods",
    "ask": "methods",
    "attribute": "methods",
    "attribution_graph": "methods",
    "diff": "methods",
    "direction": "methods",
    "directions": "methods",
    "edge_scores": "methods",
    "Contrast": "methods",
    "Followed": "methods",
    "Question": "methods",
    "Transcoder": "methods",
    "fit_lens": "methods",
    "label": "methods",
    "leace": "methods",
    "lens": "methods",
    "linearise": "methods",
    "path_patch": "methods",
    "sweep": "methods",
    "trigger_circuit": "methods",
    "log_prob": "methods.metrics",
    "logit_diff": "methods.metrics",
    # watch training
    "watch": "watch",
    "live": "watch",
    "PayloadProbe": "watch",
    "SpanProbe": "watch",
    "Reaction": "watch",
    "Settings": "watch",
    "signal": "watch",
    "rewindable": "watch.attach.loading",
    # write down, judge, run again
    "Evidence": "records",
    "Finding": "records",
    "assess": "assess",
    "rerun": "replication",
    # errors
    "DarkLanternError": "errors",
}

__all__ = [
    "Contrast",
    "DarkLanternError",
    "Evidence",
    "Finding",
    "Followed",
    "Inputs",
    "PayloadProbe",
    "Question",
    "Reaction",
    "Settings",
    "SpanProbe",
    "Transcoder",
    "__version__",
    "ablate",
    "add",
    "ask",
    "assess",
    "attribute",
    "attribution_graph",
    "diff",
    "direction",
    "directions",
    "edge_scores",
    "fit_lens",
    "label",
    "leace",
    "lens",
    "linearise",
    "live",
    "load_recording",
    "log_prob",
    "logit_diff",
    "mean",
    "open",
    "part",
    "path_patch",
    "project",
    "put",
    "rerun",
    "resample",
    "rewindable",
    "scale",
    "signal",
    "stop_gradient",
    "sweep",
    "tag",
    "take",
    "trigger_circuit",
    "watch",
    "zero",
]

if TYPE_CHECKING:
    from darklantern.assess import _Room as _Assess
    from darklantern.errors import DarkLanternError
    from darklantern.methods import (
        Contrast,
        Followed,
        Question,
        Transcoder,
        ablate,
        ask,
        attribute,
        attribution_graph,
        diff,
        direction,
        directions,
        edge_scores,
        fit_lens,
        label,
        leace,
        lens,
        linearise,
        path_patch,
        sweep,
        trigger_circuit,
    )
    from darklantern.methods.metrics import log_prob, logit_diff
    from darklantern.models import load_recording, open, part, tag
    from darklantern.models.calling import Inputs
    from darklantern.models.edits import add, mean, project, put, resample, scale, stop_gradient, take, zero
    from darklantern.records import Evidence, Finding
    from darklantern.replication.rerun import rerun
    from darklantern.watch import PayloadProbe, Reaction, Settings, SpanProbe, live, signal
    from darklantern.watch import _Room as _Watch
    from darklantern.watch.attach.loading import rewindable

    assess: _Assess  # rooms whose main function has their name: called, they call it
    watch: _Watch


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        methods = import_module("darklantern.methods").__all__
        where = f"from darklantern.methods import {name}" if name in methods else f"it has {', '.join(__all__)}"
        raise AttributeError(f"module 'darklantern' has no attribute {name!r}; {where}")
    room = import_module(f"darklantern.{_ROOMS[name]}")
    return room if _ROOMS[name] == name else getattr(room, name)  # such a room is called as its main function is


def __dir__() -> list[str]:
    return sorted(__all__)
