"""Whom a hook serves: the run under way in its own thread, or, in a backward pass, the run whose graph it walks.

So threads that share a module do not see each other's edits, and a plain call of the module in another thread sees
none. What is called from within an edit belongs to no run, or to one of its own.
"""

import threading
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch._C import _current_autograd_node, _current_graph_task_id
from torch.autograd import Variable
from torch.compiler import is_dynamo_compiling

from darklantern.errors import SiteError

if TYPE_CHECKING:
    from darklantern.models.on_torch.lasting import Graph
    from darklantern.models.on_torch.program import Program
    from darklantern.models.on_torch.running import Run

_NOBODY: Any = object()
_RUN: ContextVar["Run | None"] = ContextVar("darklantern_run", default=None)
_PASSES: "dict[int, weakref.ref[_Pass]]" = {}
"""autograd's number of a backward pass under way → it"""
_THREAD = threading.local()
"""`.passes`: those of this thread, innermost last; a pass that starts within one belongs to it"""
GONE: "deque[tuple[object, Program]]" = deque()
"""holders of what is to be taken off, told by a finalizer, which runs wherever the collector does"""


class _Pass:
    """A backward pass under way. Autograd holds it, as a callback for its end: it goes with the pass, however it ends.

    A pass that raises calls nobody, so an entry that waits for a call would stay and serve later passes.
    """

    __slots__ = ("__weakref__", "now", "runs")

    def __init__(self) -> None:
        self.runs: dict[Graph, Run] = {}
        """those whose graphs the pass has come to; it may also go through plain calls of the same modules"""
        self.now: Run | None = None
        """whose part of the graph it is in"""

    def __call__(self) -> None:
        """The pass is over; nothing is left to do."""

    def run(self) -> "Run | None":
        """The run that made the node which the pass is at, and so what that node computes again."""
        node = _current_autograd_node()
        if node is not None:
            number = node._sequence_nr()
            found = [graph for graph in self.runs if graph.first <= number < graph.last]
            if len({graph.thread for graph in found}) > 1:
                raise SiteError(
                    "one backward pass goes through checkpointed runs of several threads, whose nodes look alike",
                    hint="call backward once for each thread's runs",
                )
            # A run within an edit of another one is the one that began last.
            self.now = self.runs[max(found, key=lambda graph: graph.first)] if found else None
        return self.now


def current() -> "Run | None":
    """The run that a module firing now belongs to."""
    if is_dynamo_compiling():  # what is compiled now shall run without us
        return None
    run = _RUN.get()
    if run is _NOBODY:
        return None
    if _PASSES and (task := _current_graph_task_id()) != -1 and (run is None or run.task != task):
        known, found = _walked(task)
        if known:
            return found
    if run is None and GONE:
        from darklantern.models.on_torch import placing

        placing.settle()
    return run


def _walked(task: int) -> "tuple[bool, Run | None]":
    """Whether anything is known of the backward pass of this number, and the run whose part of a graph it is in."""
    reference = _PASSES.get(task)
    own = None if reference is None else reference()
    alive = (each() for each in getattr(_THREAD, "passes", ()))
    outermost = next((each for each in alive if each is not None), None)
    if outermost is None or outermost is own:
        return own is not None, None if own is None else own.run()
    # A pass within a pass goes through what was just computed again; of what run, it may know itself.
    if own is not None and len(own.runs) == 1:
        return True, next(iter(own.runs.values()))
    return True, outermost.now


def walk(graph: "Graph", run: "Run") -> None:
    """The backward pass under way has come to `graph`, where `run` applies its edits again."""
    task = _current_graph_task_id()
    reference = _PASSES.get(task)
    under_way = None if reference is None else reference()
    if under_way is None:
        under_way = _Pass()
        reference = _PASSES[task] = weakref.ref(under_way, lambda _: _PASSES.pop(task, None))
        _THREAD.passes = [*(each for each in getattr(_THREAD, "passes", ()) if each() is not None), reference]
        Variable._execution_engine.queue_callback(under_way)
    under_way.runs[graph] = run


def is_walked(graph: "Graph") -> bool:
    """Whether the backward pass under way has come to `graph` before."""
    reference = _PASSES.get(_current_graph_task_id())
    under_way = None if reference is None else reference()
    return under_way is not None and graph in under_way.runs


def enter(run: "Run") -> Token["Run | None"]:
    """`run` is under way in this thread, until `leave`."""
    run.task = _current_graph_task_id()
    return _RUN.set(run)


def leave(token: Token["Run | None"]) -> None:
    _RUN.reset(token)


@contextmanager
def paused() -> Iterator[None]:
    """No run sees what is called here."""
    token = _RUN.set(_NOBODY)
    try:
        yield
    finally:
        _RUN.reset(token)


# The hooks. torch looks up hook by hook whether one takes keyword arguments. Where another thread's run ends just then,
# one is called without them, in a thread that has no run of ours there, and does nothing.


def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> Any:
    run = current()
    if run is None or kwargs is None:
        return None
    changed = False
    for handler in run.program.before.get(module, ()):
        new = handler(run, module, args, kwargs)
        if new is not None:
            args, kwargs = new
            changed = True
    return (args, kwargs) if changed else None


def after(module: nn.Module, args: tuple[Any, ...], *rest: Any) -> Any:
    output, run = rest[-1], current()
    if run is not None and len(rest) == 2:
        for handler in run.program.after.get(module, ()):
            output = handler(run, module, args, rest[0], output)
    return output


def out(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
    run = current()
    if run is None:
        return output
    # The common case, written out because it decides what looking costs: one recording of one whole tensor.
    slot = run.slots.get(module)
    if slot is not None and type(output) is Tensor and not output.requires_grad and run.first[slot] is None:
        run.first[slot] = output.clone()
        return None
    for handler in run.program.out.get(module, ()):
        output = handler(run, module, args, {}, output)
    return output
