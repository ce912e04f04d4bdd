"""nnsight: `TransformersModel` over the same model, by traces as its guide writes them."""

# ruff: noqa: RET504 - the body of a trace does not run where it stands: nothing can be returned from within

import sys
from typing import Any

import torch
from nnsight import NNsight, TransformersModel, save
from torch import Tensor, nn

from models import cases, sharding, silent, subjects, truth
from models.names import OTHERS
from models.protocol import Request, Timed, serve


def opened(model: nn.Module) -> Any:
    if not hasattr(model, "config"):
        return NNsight(model)
    return TransformersModel(model, tokenizer=subjects.tokenizer())


def blocks(view: Any, name: str) -> list[Any]:
    if name in OTHERS:
        return list(view.blocks)
    return list(view.transformer.h if name == "gpt2" else view.model.layers)


def attention(view: Any, name: str, layer: int) -> Any:
    return getattr(blocks(view, name)[layer], subjects.ATTENTION[name])


def idle(request: Request) -> Timed:
    """The forward of the wrapped model, outside any trace."""
    model, bare, ids = cases.opened(request)
    opened(model)
    return cases.idle(bare, lambda: model(ids).logits)


def capture(request: Request) -> Timed:
    """`tracer.cache` without copies, which was a little faster than twelve reads."""
    model, bare, ids = cases.opened(request)
    view = opened(model)
    parts = blocks(view, request.model)

    def run() -> list[Tensor]:
        with view.trace(ids) as tracer:
            cache = tracer.cache(modules=parts, device=None, detach=False)
        return [cache[part.path].output for part in parts]

    return cases.capture(request, bare, run)


def stop(request: Request) -> Timed:
    model, bare, ids = cases.opened(request)
    view = opened(model)
    block = blocks(view, request.model)[truth.STOP]

    def run() -> Tensor:
        with view.trace(ids) as tracer:
            hidden = save(block.output)
            tracer.stop()
        return hidden

    return cases.stop(request, bare, run)


def start(request: Request) -> Timed:
    """`.skip` on blocks 0–8, as its guide does it by hand: there is no way to say "from block 9"."""
    model, bare, ids = cases.opened(request)
    recorded = truth.block_outputs(subjects.twin(model), request.model, ids)[truth.START - 1]
    view = opened(model)
    skipped = blocks(view, request.model)[: truth.START]

    def run() -> Tensor:
        with view.trace(ids):
            for block in skipped:
                block.skip(recorded)
            logits = save(view.output.logits)
        return logits

    return cases.start(bare, run)


def patterns(request: Request) -> Timed:
    """The weights that attention returns; under sdpa they are None, so the kernel has to be eager."""
    _, bare, ids = cases.opened(request)
    view = opened(subjects.twin(subjects.build(request.model, "eager")))
    parts = [attention(view, request.model, layer) for layer in range(subjects.LAYERS)]

    def run() -> tuple[list[Tensor], Tensor]:
        with view.trace(ids):
            seen = save([part.output[1] for part in parts])
            logits = save(view.output.logits)
        return seen, logits

    return cases.patterns(request, bare, run)


def sweep(request: Request) -> Timed:
    """Sixteen positions a trace, an invoke each, which nnsight batches: twice as fast as one trace a cell."""
    model, bare, ids = cases.opened(request)
    view = opened(model)
    parts, corrupt = blocks(view, request.model), subjects.tokens("corrupt")

    halves = range(subjects.TOKENS // 2), range(subjects.TOKENS // 2, subjects.TOKENS)

    def effects(block: Any, clean: Tensor, positions: range) -> list[Tensor]:
        with view.trace() as tracer:
            found = save([])
            for position in positions:
                with tracer.invoke(corrupt):
                    block.output[:, position] = clean[:, position]
                    found.append(subjects.metric(view.output.logits))
        return found

    def run() -> Tensor:
        with view.trace(ids):
            clean = save([block.output for block in parts])
        rows = []
        for block, value in zip(parts, clean, strict=True):
            rows.append(torch.stack([cell for half in halves for cell in effects(block, value, half)]))
        return torch.stack(rows)

    return cases.sweep(request, "nnsight", bare, run)


def gradients(request: Request) -> dict[str, object]:
    def inside(model: nn.Module, ids: Tensor) -> None:
        view = opened(model)
        part = attention(view, request.model, truth.EDITED)
        with view.trace(ids):
            part.output = truth.halve(part.output)
            truth.loss(view.output.logits).backward()

    def after(model: nn.Module, ids: Tensor) -> None:
        view = opened(model)
        part = attention(view, request.model, truth.EDITED)
        with view.trace(ids):
            part.output = truth.halve(part.output)
            loss = save(truth.loss(view.output.logits))
        loss.backward()

    return truth.gradients(request.model, inside=inside, after=after)


def silent_failures(_request: Request) -> dict[str, object]:
    ids = subjects.tokens()
    view = opened(silent.subject())
    block = view.model.layers[truth.EDITED]

    def typo() -> Tensor:
        with view.trace(ids):
            value = save(block.mpl.output)
        return value

    def never() -> Tensor:
        with view.trace(ids):
            value = save(block.spare.output)
        return value

    def late() -> Tensor:
        late_view = opened(silent.compiled())
        with late_view.trace(ids):
            part = late_view.model.layers[truth.EDITED].mlp
            part.output = torch.zeros_like(part.output)
            logits = save(late_view.output.logits)
        return logits

    def one_line() -> Tensor:
        with view.trace(ids): value = save(block.mlp.output)  # fmt: skip  # noqa: E701
        return value

    def executed() -> Tensor:
        scope = {"view": view, "ids": ids, "block": block, "save": save}
        exec("with view.trace(ids):\n    value = save(block.mlp.output)\n", scope)  # noqa: S102 - that is the probe
        return scope["value"]

    def given() -> Tensor:
        with view.trace(ids):
            value = save(block.self_attn.input)
        return value

    def halved() -> Tensor:
        with view.trace(ids):
            block.self_attn.output = truth.halve(block.self_attn.output)
            logits = save(view.output.logits)
        return logits

    return silent.judge(
        {
            "typo_site": (typo, None),
            "never_reached_site": (never, None),
            "late_hook_on_compiled": (late, silent.logits_without_mlp()),
            "one_line_body": (one_line, silent.mlp_output()),
            "exec_code": (executed, silent.mlp_output()),
            "kwargs_only_module": (given, silent.attention_input()),
            "tuple_with_none": (halved, silent.logits_halved_attention()),
        }
    )


def sharded(request: Request) -> dict[str, object]:
    return sharding.launch("models.nnsight_worker", request.out)


def read_shards(model: nn.Module, hidden: Tensor) -> tuple[dict[str, Any], Tensor]:
    """On each rank: what the MLP's inner ports give, and the output when the up-projection is halved."""
    from nnsight import NNsight

    view = NNsight(model)
    seen = {}
    with view.trace(hidden):
        seen["gate_proj"] = save(view.gate_proj.output)
        seen["up_proj"] = save(view.up_proj.output)
        seen["down_proj_input"] = save(view.down_proj.input)
        seen["down_proj"] = save(view.down_proj.output)
        save(seen)
    with view.trace(hidden):
        view.up_proj.output = view.up_proj.output / 2
        edited = save(view.output)
    return seen, edited


CASES = {
    "idle": idle,
    "capture_12_blocks": capture,
    "stop_after_block_1": stop,
    "start_at_block_9": start,
    "attention_patterns_12": patterns,
    "patch_sweep": sweep,
    "grads_under_checkpointing": gradients,
    "silent_failures": silent_failures,
    "sharded_truth": sharded,
    "import_seconds": cases.import_time("nnsight"),
}

if __name__ == "__main__":
    if "--rank" in sys.argv:
        sharding.rank(read_shards)
    else:
        serve("nnsight", "nnsight", CASES)
