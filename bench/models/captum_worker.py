"""captum: layers as module objects, attributions over whole runs. Much of this bench is outside its purpose."""

import torch
from captum.attr import LayerActivation, LayerFeatureAblation
from torch import Tensor, nn

from models import cases, silent, subjects, truth
from models.protocol import Request, Timed, Unsupported, serve


def idle(request: Request) -> Timed:
    """captum leaves a model as it is between calls."""
    model, bare, ids = cases.opened(request)
    LayerActivation(model, _blocks(model, request.model))
    return cases.idle(bare, lambda: model(ids).logits)


def capture(request: Request) -> Timed:
    """All layers in one `LayerActivation`, hence in one forward."""
    model, bare, ids = cases.opened(request)
    reader = LayerActivation(lambda rows: model(rows).logits, _blocks(model, request.model))
    return cases.capture(request, bare, lambda: [truth.first(value) for value in reader.attribute(ids)])


def sweep(request: Request) -> Timed:
    """`LayerFeatureAblation` with the clean activations as baselines and the positions as groups of features.

    It gives the metric's fall against the corrupt run; the effect is the difference, so its last bits may not be those
    of a direct run. Eight positions in a forward was its fastest of 1, 4, 8 and 32.
    """
    model, bare, ids = cases.opened(request)
    corrupt = subjects.tokens("corrupt")
    groups = torch.arange(subjects.TOKENS).view(1, -1, 1).expand(1, -1, subjects.WIDTH)
    blocks = _blocks(model, request.model)
    reader = LayerActivation(lambda rows: model(rows).logits, blocks)

    def effect(rows: Tensor) -> Tensor:
        logits = model(rows).logits
        return logits[:, -1, 7] - logits[:, -1, 11]

    ablations = [LayerFeatureAblation(effect, block) for block in blocks]

    def run() -> Tensor:
        clean = reader.attribute(ids)
        level = subjects.metric(model(corrupt).logits)
        falls = [
            ablation.attribute(corrupt, layer_baselines=truth.first(value), layer_mask=groups, perturbations_per_eval=8)
            for ablation, value in zip(ablations, clean, strict=True)
        ]
        return torch.stack([level - truth.first(fall)[0, :, 0] for fall in falls])

    return cases.sweep(request, "captum", bare, run)


def silent_failures(_request: Request) -> dict[str, object]:
    ids, layer = subjects.tokens(), truth.EDITED
    model = silent.subject()

    def read(module: nn.Module, of: nn.Module = model, inputs: bool = False) -> Tensor:
        reader = LayerActivation(lambda rows: of(rows).logits, module)
        return truth.first(reader.attribute(ids, attribute_to_layer_input=inputs))

    def late() -> Tensor:
        compiled = silent.compiled()
        return read(subjects.block(compiled._orig_mod, "llama", layer).mlp, compiled)

    def no_body() -> Tensor:
        raise Unsupported("no with bodies in its interface")

    block = subjects.block(model, "llama", layer)
    return silent.judge(
        {
            "typo_site": (lambda: read(block.mpl), None),
            "never_reached_site": (lambda: read(block.spare), None),
            "late_hook_on_compiled": (late, silent.mlp_output()),
            "one_line_body": (no_body, None),
            "exec_code": (no_body, None),
            "kwargs_only_module": (lambda: read(block.self_attn, inputs=True), silent.attention_input()),
            "tuple_with_none": (lambda: read(block.self_attn), silent.attention_output()),
        }
    )


def _blocks(model: nn.Module, name: str) -> list[nn.Module]:
    return [subjects.block(model, name, layer) for layer in range(subjects.LAYERS)]


CASES = {
    "idle": idle,
    "capture_12_blocks": capture,
    "stop_after_block_1": cases.unsupported("always runs the whole model"),
    "start_at_block_9": cases.unsupported("always runs the whole model"),
    "attention_patterns_12": cases.unsupported("no tap inside attention"),
    "patch_sweep": sweep,
    "grads_under_checkpointing": cases.unsupported(
        "attributes; has no edit of one's own that a training step could keep"
    ),
    "silent_failures": silent_failures,
    "sharded_truth": cases.unsupported("knows DataParallel only"),
    "import_seconds": cases.import_time("captum.attr"),
}

if __name__ == "__main__":
    serve("captum", "captum", CASES)
