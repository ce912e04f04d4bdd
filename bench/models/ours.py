"""The product's worker: darklantern, against the same requests as the peers."""

import sys
from typing import Any

import torch
from torch import Tensor, nn

import darklantern as dl
from darklantern.methods import sweep as patch_sweep
from darklantern.models import edits
from models import cases, sharding, silent, subjects, truth
from models.protocol import Request, Timed, serve

ATTENTION = f"layers.{truth.EDITED}.attn:out"
AT_ONCE = 16  # positions in one batch, as many as the fastest peer


def idle(request: Request) -> Timed:
    """An opened model, called as if it were not."""
    model, bare, ids = cases.opened(request)
    opened = dl.open(model)
    opened.record(ids, "layers.*:out")
    return cases.idle(bare, lambda: model(ids).logits)


def capture(request: Request) -> Timed:
    model, bare, ids = cases.opened(request)
    opened = dl.open(model)
    plan = opened.plan("layers.*:out")

    def run() -> Any:
        return opened.execute(plan, ids)

    timed = cases.capture(request, bare, lambda: [value.array for value in run().values()])
    return Timed(timed.bare, run, timed.detail)


def stop(request: Request) -> Timed:
    model, bare, ids = cases.opened(request)
    opened, site = dl.open(model), f"layers.{truth.STOP}:out"
    plan = opened.plan(site, stop=True)
    return cases.stop(request, bare, lambda: opened.execute(plan, ids)[site].array)


def start(request: Request) -> Timed:
    model, bare, ids = cases.opened(request)
    opened = dl.open(model)
    begin, plan = opened.start(ids, f"layers.{truth.START}"), opened.plan()
    return cases.start(bare, lambda: opened.execute(plan, begin).output.logits)


def patterns(request: Request) -> Timed:
    model, bare, ids = cases.opened(request)
    opened = dl.open(model)
    plan = opened.plan("layers.*.attn:pattern")

    def run() -> tuple[list[Tensor], Tensor]:
        recording = opened.execute(plan, ids)
        return [value.array for value in recording.values()], recording.output.logits

    return cases.patterns(request, bare, run)


def sweep(request: Request) -> Timed:
    """The library's own sweep; its effects are shares of the whole difference, put back into logits here."""
    model, bare, ids = cases.opened(request)
    opened, corrupt = dl.open(model), subjects.tokens("corrupt")
    sites = [f"layers.{layer}:out" for layer in range(subjects.LAYERS)]

    def metric(output: Any) -> float:
        seen.append(subjects.metric(output.logits))
        return float(seen[-1])

    def run() -> Tensor:
        seen.clear()
        patch_sweep(opened, ids, corrupt, sites, metric, range(subjects.TOKENS), at_once=AT_ONCE)
        return torch.stack(seen[2:]).view(subjects.LAYERS, subjects.TOKENS)  # the first two: clean and corrupt

    seen: list[Tensor] = []
    return cases.sweep(request, "darklantern", bare, run)


def gradients(request: Request) -> dict[str, object]:
    def step(model: nn.Module, ids: Tensor) -> None:
        output = dl.open(model).run(ids, {ATTENTION: edits.scale(0.5)})
        truth.loss(output.logits).backward()

    # There is no context to be in: the edit belongs to the output's graph, wherever backward is called.
    return truth.gradients(request.model, inside=step, after=step)


def silent_failures(_request: Request) -> dict[str, object]:
    ids = subjects.tokens()

    def record(site: str, model: nn.Module | None = None) -> Tensor:
        return dl.open(silent.subject() if model is None else model).record(ids, site)[site].array

    def kwargs_only() -> Tensor:
        return record(f"layers.{truth.EDITED}.attn:in")

    def none_in_tuple() -> Tensor:
        return dl.open(silent.subject()).run(ids, {ATTENTION: edits.scale(0.5)}).logits

    def executed() -> Tensor:
        space: dict[str, Any] = {"dl": dl, "model": silent.subject(), "ids": ids}
        site = f"layers.{truth.EDITED}.mlp:out"
        exec(f"value = dl.open(model).record(ids, {site!r})[{site!r}].array", space)  # noqa: S102 - the case itself
        return space["value"]

    return silent.judge(
        {
            "typo_site": (lambda: record("layers.3.mpl:out"), None),
            "never_reached_site": (lambda: record("layers.3.spare:out"), None),
            "late_hook_on_compiled": (lambda: record("layers.3.mlp:out", silent.compiled()), silent.mlp_output()),
            "one_line_body": (lambda: record("layers.3.mlp:out"), silent.mlp_output()),
            "exec_code": (executed, silent.mlp_output()),
            "kwargs_only_module": (kwargs_only, silent.attention_input()),
            "tuple_with_none": (none_in_tuple, silent.logits_halved_attention()),
        }
    )


def read(mlp: nn.Module, hidden: Tensor) -> tuple[dict[str, Any], Tensor]:
    """A tensor-parallel MLP's ports, and its output with the up-projection halved."""
    opened = dl.open(mlp)
    names = {"gate_proj": "gate_proj:out", "up_proj": "up_proj:out", "down_proj": "down_proj:out"}
    recording = opened.record(hidden, *names.values(), "down_proj:in")
    values = {name: recording[site].array for name, site in names.items()}
    values["down_proj_input"] = recording["down_proj:in"].array
    return values, opened.run(hidden, {"up_proj:out": edits.scale(0.5)})


CASES = {
    "idle": idle,
    "capture_12_blocks": capture,
    "stop_after_block_1": stop,
    "start_at_block_9": start,
    "attention_patterns_12": patterns,
    "patch_sweep": sweep,
    "grads_under_checkpointing": gradients,
    "silent_failures": silent_failures,
    "sharded_truth": lambda request: sharding.launch("models.ours", request.out),
    "import_seconds": cases.import_time("darklantern"),
}

if __name__ == "__main__":
    if "--rank" in sys.argv:
        sharding.rank(read)
    else:
        serve("darklantern", "darklantern", CASES)
