"""pyvene: an `IntervenableModel` over the same model, built once where a case allows it."""

import contextlib
import logging
import os

import torch
from torch import Tensor, nn

with contextlib.redirect_stdout(open(os.devnull, "w")):  # noqa: PTH123 - the import prints
    import pyvene

from models import cases, silent, subjects, truth
from models.protocol import Request, Timed, Unsupported, serve

logging.getLogger().setLevel(logging.ERROR)
ATTENTION_OUT = f"model.layers[{truth.EDITED}].self_attn.output"


class Halve(pyvene.ConstantSourceIntervention):
    """A user's own intervention: half of what came."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)

    def forward(self, base: Tensor, source: object = None, subspaces: object = None, **_: object) -> Tensor:
        return base / 2


def opened(model: nn.Module, *interventions: dict[str, object]) -> pyvene.IntervenableModel:
    return pyvene.IntervenableModel(pyvene.IntervenableConfig(list(interventions)), model)


def collectors(name: str) -> list[dict[str, object]]:
    """One for each block, by path and for all positions.

    (By the name `block_output`, and without `max_number_of_units`, 32 positions of 128 come back with 4 columns and
    no word.)
    """
    paths = [f"{subjects.BLOCKS[name]}[{layer}].output" for layer in range(subjects.LAYERS)]
    return [{"component": path, "intervention_type": pyvene.CollectIntervention} for path in paths]


def idle(request: Request) -> Timed:
    """The model's own forward beside an `IntervenableModel` over it: pyvene hooks a model only while it is called."""
    model, bare, ids = cases.opened(request)
    opened(model, *collectors(request.model))
    return cases.idle(bare, lambda: model(ids).logits)


def capture(request: Request) -> Timed:
    """Without unit locations nothing is gathered, which is its fastest way."""
    model, bare, ids = cases.opened(request)
    reader = opened(model, *collectors(request.model))
    return cases.capture(request, bare, lambda: collected(reader, ids))


def collected(reader: pyvene.IntervenableModel, ids: Tensor) -> list[Tensor]:
    """Collected values come as a list over interventions and examples."""
    return [value if value.dim() == 3 else value[None] for value in reader({"input_ids": ids})[0][1]]


def sweep(request: Request) -> Timed:
    """One model with one `VanillaIntervention` a layer; clean activations are collected once and handed in."""
    model, bare, ids = cases.opened(request)
    corrupt = subjects.tokens("corrupt")
    reader = opened(model, *collectors(request.model))
    writers = [
        opened(model, {"layer": layer, "component": "block_output", "intervention_type": pyvene.VanillaIntervention})
        for layer in range(subjects.LAYERS)
    ]

    def cell(writer: pyvene.IntervenableModel, position: int, clean: Tensor) -> Tensor:
        (key,) = writer.interventions
        source = {key: clean[:, position : position + 1]}
        where = {"sources->base": (None, position)}
        _, out = writer({"input_ids": corrupt}, unit_locations=where, source_representations=source)
        return subjects.metric(out.logits)

    def run() -> Tensor:
        clean = collected(reader, ids)
        return torch.stack(
            [
                torch.stack([cell(writer, position, value) for position in range(subjects.TOKENS)])
                for writer, value in zip(writers, clean, strict=True)
            ]
        )

    return cases.sweep(request, "pyvene", bare, run)


def gradients(request: Request) -> dict[str, object]:
    halve = {"layer": truth.EDITED, "component": "attention_output", "intervention_type": Halve}

    def after(model: nn.Module, ids: Tensor) -> None:
        wrapped = opened(model, halve)  # which freezes the model, and hands nothing back from `train()`
        wrapped.enable_model_gradients()
        _, out = wrapped({"input_ids": ids})
        truth.loss(out.logits).backward()

    return truth.gradients(request.model, after=after)


def silent_failures(_request: Request) -> dict[str, object]:
    ids, layer = subjects.tokens(), truth.EDITED
    model = silent.subject()

    def collect(path: str, of: nn.Module = model) -> Tensor | None:
        wrapped = opened(of, {"component": path, "intervention_type": pyvene.CollectIntervention})
        values = collected(wrapped, ids)
        return values[0] if values else None

    def halved() -> Tensor:
        wrapped = opened(model, {"component": ATTENTION_OUT, "intervention_type": Halve})
        return wrapped({"input_ids": ids})[1].logits

    def no_body() -> Tensor:
        raise Unsupported("no with bodies in its interface")

    path = f"model.layers[{layer}]"
    return silent.judge(
        {
            "typo_site": (lambda: collect(f"{path}.mpl.output"), None),
            "never_reached_site": (lambda: collect(f"{path}.spare.output"), None),
            "late_hook_on_compiled": (lambda: collect(f"{path}.mlp.output", silent.compiled()), silent.mlp_output()),
            "one_line_body": (no_body, None),
            "exec_code": (no_body, None),
            "kwargs_only_module": (lambda: collect(f"{path}.self_attn.input"), silent.attention_input()),
            "tuple_with_none": (halved, silent.logits_halved_attention()),
        }
    )


CASES = {
    "idle": cases.only_transformers(idle),
    "capture_12_blocks": cases.only_transformers(capture),
    "stop_after_block_1": cases.unsupported("always runs the whole model"),
    "start_at_block_9": cases.unsupported("always runs the whole model"),
    "attention_patterns_12": cases.unsupported("names q, k, v and z of a head, but no pattern"),
    "patch_sweep": sweep,
    "grads_under_checkpointing": gradients,
    "silent_failures": silent_failures,
    "sharded_truth": cases.unsupported("has nothing for tensor parallelism, and FSDP is begun only"),
    "import_seconds": cases.import_time("pyvene"),
}

if __name__ == "__main__":
    serve("pyvene", "pyvene", CASES)
