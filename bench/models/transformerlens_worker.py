"""TransformerLens 4: `TransformerBridge` over the same model, by the ways its own guide shows."""

import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn
from transformer_lens import patching
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedTokenizerFast

from models import cases, silent, subjects, truth
from models.protocol import Request, Timed, serve

OUT = [f"blocks.{layer}.hook_out" for layer in range(subjects.LAYERS)]
RESIDUAL = [f"blocks.{layer}.hook_resid_post" for layer in range(subjects.LAYERS)]  # the older name of the same
PATTERNS = [f"blocks.{layer}.attn.hook_pattern" for layer in range(subjects.LAYERS)]
patching.tqdm = lambda cells: cells  # a progress bar is no part of the work


def bridge(model: nn.Module, name: str) -> TransformerBridge:
    """Boot over a model that is already there. A tokenizer is asked for, and read again from where it was loaded."""
    with tempfile.TemporaryDirectory() as folder:
        subjects.tokenizer().save_pretrained(folder)
        words = PreTrainedTokenizerFast.from_pretrained(Path(folder))
        return TransformerBridge.boot_transformers(name, hf_model=model, device="cpu", tokenizer=words)


def opened(request: Request):  # noqa: ANN201 - bridge, bare forward, tokens
    model, bare, ids = cases.opened(request)
    return bridge(model, request.model).eval(), bare, ids


def idle(request: Request) -> Timed:
    lens, bare, ids = opened(request)
    return cases.idle(bare, lambda: lens(ids))


def capture(request: Request) -> Timed:
    lens, bare, ids = opened(request)

    def run() -> list[Tensor]:
        _, cache = lens.run_with_cache(ids, names_filter=OUT)
        return [cache[name] for name in OUT]

    return cases.capture(request, bare, run)


def stop(request: Request) -> Timed:
    lens, bare, ids = opened(request)
    return cases.stop(request, bare, lambda: lens(ids, stop_at_layer=truth.STOP + 1))


def start(request: Request) -> Timed:
    """Held for exactness against its own full run as well: its GPT-2 is not bitwise that of transformers."""
    lens, bare, ids = opened(request)
    recorded = lens.run_with_cache(ids, names_filter=OUT[truth.START - 1])[1][OUT[truth.START - 1]]
    timed = cases.start(bare, lambda: lens(recorded, start_at_layer=truth.START))
    own = lambda: {"bitwise_own_run": torch.equal(timed.case(), lens(ids))}  # noqa: E731
    return Timed(timed.bare, timed.case, lambda: timed.detail() | own())


def patterns(request: Request) -> Timed:
    lens, bare, ids = opened(request)

    def run() -> tuple[list[Tensor], Tensor]:
        logits, cache = lens.run_with_cache(ids, names_filter=PATTERNS)
        return [cache[name] for name in PATTERNS], logits

    return cases.patterns(request, bare, run)


def sweep(request: Request) -> Timed:
    """`generic_activation_patch`, as `get_act_patch_resid_pre` calls it, on the blocks' outputs."""
    lens, bare, ids = opened(request)
    corrupt = subjects.tokens("corrupt")

    def run() -> Tensor:
        _, cache = lens.run_with_cache(ids, names_filter=RESIDUAL)
        return patching.generic_activation_patch(
            lens,
            corrupt,
            cache,
            subjects.metric,
            patching.layer_pos_patch_setter,
            "resid_post",
            index_axis_names=("layer", "pos"),
        )

    return cases.sweep(request, "transformer_lens", bare, run)


def gradients(request: Request) -> dict[str, object]:
    hook = (f"blocks.{truth.EDITED}.hook_attn_out", lambda value, hook: value / 2)

    def inside(model: nn.Module, ids: Tensor) -> None:
        lens = bridge(model, request.model).train()
        with lens.hooks(fwd_hooks=[hook]):
            truth.loss(lens(ids)).backward()

    def after(model: nn.Module, ids: Tensor) -> None:
        lens = bridge(model, request.model).train()
        truth.loss(lens.run_with_hooks(ids, fwd_hooks=[hook])).backward()

    return truth.gradients(request.model, inside=inside, after=after)


def silent_failures(_request: Request) -> dict[str, object]:
    ids, layer = subjects.tokens(), truth.EDITED
    lens = bridge(silent.subject(), "llama").eval()

    def read(name: str, of: TransformerBridge = lens) -> Tensor | None:
        cache = of.run_with_cache(ids, names_filter=[name])[1]
        return cache[name] if name in cache else None  # noqa: SIM401 - no dict

    def typo() -> Tensor | None:
        return lens.run_with_hooks(ids, fwd_hooks=[(f"blocks.{layer}.hook_mpl_out", lambda value, hook: value * 0)])

    def never() -> Tensor | None:
        seen = []
        # A hook point that is listed in `hook_dict` and that Llama's forward does not pass. (Those behind a switch,
        # such as `hook_result`, raise and name the switch.)
        point = f"blocks.{layer}.attn.hook_hidden_states"
        lens.run_with_hooks(ids, fwd_hooks=[(point, lambda value, hook: seen.append(value))])
        return seen[0] if seen else None

    def late() -> Tensor:
        compiled = torch.compile(bridge(silent.subject(), "llama").eval(), backend="eager")
        compiled(ids)
        zero = (f"blocks.{layer}.hook_mlp_out", lambda value, hook: value * 0)
        with compiled.hooks(fwd_hooks=[zero]):
            return compiled(ids)

    zero = (f"blocks.{layer}.hook_mlp_out", lambda value, hook: value * 0)

    def one_line() -> Tensor:
        with lens.hooks(fwd_hooks=[zero]): return lens(ids)  # fmt: skip  # noqa: E701

    def executed() -> Tensor:
        scope = {"lens": lens, "ids": ids, "zero": zero}
        exec("with lens.hooks(fwd_hooks=[zero]):\n    out = lens(ids)\n", scope)  # noqa: S102 - that is the probe
        return scope["out"]

    def halved() -> Tensor:
        hook = (f"blocks.{layer}.hook_attn_out", lambda value, hook: value / 2)
        return lens.run_with_hooks(ids, fwd_hooks=[hook])

    return silent.judge(
        {
            "typo_site": (typo, None),
            "never_reached_site": (never, None),
            "late_hook_on_compiled": (late, silent.logits_without_mlp()),
            "one_line_body": (one_line, silent.logits_without_mlp()),
            "exec_code": (executed, silent.logits_without_mlp()),
            "kwargs_only_module": (lambda: read(f"blocks.{layer}.attn.hook_in"), silent.attention_input()),
            "tuple_with_none": (halved, silent.logits_halved_attention()),
        }
    )


CASES = {
    "idle": cases.only_transformers(idle),
    "capture_12_blocks": cases.only_transformers(capture),
    "stop_after_block_1": stop,
    "start_at_block_9": start,
    "attention_patterns_12": patterns,
    "patch_sweep": sweep,
    "grads_under_checkpointing": gradients,
    "silent_failures": silent_failures,
    "sharded_truth": cases.unsupported("knows accelerate's device_map only: no FSDP, no DTensor"),
    "import_seconds": cases.import_time("transformer_lens"),
}

if __name__ == "__main__":
    serve("transformer_lens", "transformer-lens", CASES)
