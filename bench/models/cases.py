"""Parts of the cases that are the same for every worker."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from models import imports, subjects, truth
from models.names import OTHERS
from models.protocol import Case, Request, Timed, Unsupported

SWEEP_BARE = 24


def only_transformers(case: Case) -> Case:
    """A case of a peer that has no way to open other models."""

    def asked(request: Request) -> Timed | dict[str, object]:
        if request.model in OTHERS:
            raise Unsupported("it opens the model classes of transformers that it knows")
        return case(request)

    return asked


def unsupported(reason: str) -> Case:
    """A case that the peer has no way to do."""

    def case(_request: Request) -> Timed:
        raise Unsupported(reason)

    return case


def import_time(package: str) -> Case:
    """The import case is the same everywhere but for the name."""
    return lambda _request: imports.seconds(package)


def opened(request: Request) -> tuple[nn.Module, Callable[[], Tensor], Tensor]:
    """A model for the peer to open, the bare forward of an untouched twin, and the tokens."""
    built, ids = subjects.build(request.model), subjects.inputs(request.model)
    # Two copies, not the original and a copy: a copied tree of modules costs a percent, more than the bar for `idle`.
    model, untouched = subjects.twin(built), subjects.twin(built)
    return model, lambda: untouched(ids).logits, ids


def idle(bare: Callable[[], Tensor], case: Callable[[], Tensor]) -> Timed:
    """The forward of an opened model in which nothing is asked for."""
    return Timed(bare, case, lambda: truth.same([case()], [bare()]))


def capture(request: Request, bare: Callable[[], Tensor], case: Callable[[], list[Tensor]]) -> Timed:
    """All blocks' outputs."""
    true = truth.block_outputs(subjects.build(request.model), request.model, subjects.inputs(request.model))
    return Timed(bare, case, lambda: truth.same(list(case()), true))


def stop(request: Request, bare: Callable[[], Tensor], case: Callable[[], Tensor]) -> Timed:
    """Block 1's output from a run that ends there."""
    true = truth.block_outputs(subjects.build(request.model), request.model, subjects.inputs(request.model))
    return Timed(bare, case, lambda: truth.same([case()], [true[truth.STOP]]))


def start(bare: Callable[[], Tensor], case: Callable[[], Tensor]) -> Timed:
    """The logits from a run that begins at block 9 with what was recorded there."""
    return Timed(bare, case, lambda: truth.same([case()], [bare()]))


def patterns(request: Request, bare: Callable[[], Tensor], case: Callable[[], tuple[list[Tensor], Tensor]]) -> Timed:
    """All layers' attention patterns, with the logits of the same run."""

    def detail() -> dict[str, object]:
        seen, logits = case()
        return truth.fidelity(request.model, list(seen), logits)

    return Timed(bare, case, detail)


def sweep(request: Request, peer: str, bare: Callable[[], Tensor], case: Callable[[], Tensor]) -> Timed:
    """The effects (layers × positions) of patching clean block outputs into the corrupt run, kept as a file."""

    def detail() -> dict[str, object]:
        effects = case()
        name = f"sweep-{request.model}-{peer}.npy"
        np.save(request.out / name, effects.detach().to(torch.float32).numpy())
        return {"file": name, "shape": list(effects.shape)}

    return Timed(bare, case, detail, bare_calls=SWEEP_BARE)
