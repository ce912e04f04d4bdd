"""The reference: torch hooks written out by hand, as a user without any library would. No bar is held against it."""

import torch
from torch import Tensor, nn

from models import cases, subjects, truth
from models.protocol import Request, Timed, serve


class _Stop(Exception):
    pass


def idle(request: Request) -> Timed:
    """Nothing is done, so this ratio is the noise of the bench itself."""
    model, bare, ids = cases.opened(request)
    return cases.idle(bare, lambda: model(ids).logits)


def capture(request: Request) -> Timed:
    """Hooks on and off again around each run; where they go is found beforehand."""
    model, bare, ids = cases.opened(request)
    blocks = [subjects.block(model, request.model, layer) for layer in range(subjects.LAYERS)]

    def run() -> list[Tensor]:
        seen: list[Tensor] = []
        handles = [block.register_forward_hook(lambda _m, _a, out: seen.append(out)) for block in blocks]
        model(ids)
        for handle in handles:
            handle.remove()
        return seen

    return cases.capture(request, bare, run)


def stop(request: Request) -> Timed:
    model, bare, ids = cases.opened(request)
    block = subjects.block(model, request.model, truth.STOP)

    def run() -> Tensor:
        seen = []

        def hook(_module: nn.Module, _args: object, out: Tensor) -> None:
            seen.append(truth.first(out))
            raise _Stop

        handle = block.register_forward_hook(hook)
        try:
            model(ids)
        except _Stop:
            return seen[0]
        finally:
            handle.remove()
        raise RuntimeError("the block never ran")

    return cases.stop(request, bare, run)


def start(request: Request) -> Timed:
    """Stubs in place of blocks 0–8, the recorded value put in before block 9."""
    model, bare, ids = cases.opened(request)
    recorded = truth.block_outputs(model, request.model, ids)[truth.START - 1]
    skipped = [subjects.block(model, request.model, layer) for layer in range(truth.START)]

    def run() -> Tensor:
        for block in skipped:
            block.forward = lambda *_args, **_kwargs: recorded
        try:
            return model(ids).logits
        finally:
            for block in skipped:
                del block.forward

    return cases.start(bare, run)


def patterns(request: Request) -> Timed:
    """The way of transformers itself: the eager kernel, and its outputs."""
    _, bare, ids = cases.opened(request)
    eager = subjects.build(request.model, "eager")

    def run() -> tuple[list[Tensor], Tensor]:
        out = eager(ids, output_attentions=True)
        return out.attentions, out.logits

    return cases.patterns(request, bare, run)


def sweep(request: Request) -> Timed:
    """One whole corrupt run a cell: the truth that the others' effects are held against."""
    model, bare, ids = cases.opened(request)
    corrupt = subjects.tokens("corrupt")

    def cell(layer: int, position: int, clean: Tensor) -> Tensor:
        def hook(_module: nn.Module, _args: object, out: Tensor) -> Tensor:
            out = out.clone()
            out[:, position] = clean[:, position]
            return out

        handle = subjects.block(model, request.model, layer).register_forward_hook(hook)
        logits = model(corrupt).logits
        handle.remove()
        return subjects.metric(logits)

    def run() -> Tensor:
        clean = truth.block_outputs(model, request.model, ids)
        return torch.stack(
            [torch.stack([cell(layer, p, value) for p in range(subjects.TOKENS)]) for layer, value in enumerate(clean)]
        )

    return cases.sweep(request, "raw_hooks", bare, run)


def gradients(request: Request) -> dict[str, object]:
    def after(model: nn.Module, ids: Tensor) -> None:
        attention = subjects.attention(model, request.model, truth.EDITED)
        handle = attention.register_forward_hook(lambda _m, _a, out: truth.halve(out))
        loss = truth.loss(model(ids).logits)
        handle.remove()
        loss.backward()

    return truth.gradients(request.model, inside=truth.hand_step(request.model), after=after)


CASES = {
    "idle": idle,
    "capture_12_blocks": capture,
    "stop_after_block_1": stop,
    "start_at_block_9": start,
    "attention_patterns_12": patterns,
    "patch_sweep": sweep,
    "grads_under_checkpointing": gradients,
    "silent_failures": cases.unsupported("the reference: what hooks do is the truth of the others' probes"),
    "sharded_truth": cases.unsupported("the reference"),
    "import_seconds": cases.import_time("torch"),
}

if __name__ == "__main__":
    serve("raw_hooks", None, CASES)
