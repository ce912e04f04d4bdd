"""The oracles are right: they equal the real models, edited or not, and what they visit is what it claims to be."""

import re

import pytest
import torch
from oracles import SUBJECTS, Inputs, Subject, call, cast
from torch import Tensor, nn
from torch.nn import functional as F

SITE = re.compile(r"[a-z]\w*(\.\w+)*(#\d+)?:[a-z]\w*")
every_subject = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)


def named(name: str) -> Subject:
    return next(subject for subject in SUBJECTS if subject.name == name)


def visits(subject: Subject, model: nn.Module, inputs: Inputs) -> tuple[Tensor, dict[str, Tensor]]:
    """The oracle's output and the value at each site; a site visited twice is an error."""
    seen: dict[str, Tensor] = {}

    def visit(site: str, value: Tensor) -> Tensor:
        assert site not in seen, f"{site} was visited twice"
        seen[site] = value
        return value

    return subject.forward(model, inputs, visit), seen


def edited(subject: Subject, model: nn.Module, inputs: Inputs, edits: dict[str, Tensor | float]) -> Tensor:
    """The oracle's output with the values at some sites replaced (by 0.0) or moved (by a tensor that is added)."""

    def visit(site: str, value: Tensor) -> Tensor:
        edit = edits.get(site)
        return value if edit is None else torch.zeros_like(value) if isinstance(edit, float) else value + edit

    return subject.forward(model, inputs, visit)


def noise(value: Tensor) -> Tensor:
    return 0.3 * torch.randn(value.shape, generator=torch.Generator().manual_seed(9), dtype=value.dtype)


def prepared(subject: Subject, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Inputs]:
    return subject.build(dtype), cast(subject.inputs(), dtype)


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    """Within `tolerance` of the largest value."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * expected.abs().max().item())


@every_subject
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["f64", "f32"])
@pytest.mark.parametrize("gradients", [True, False], ids=["grad", "no_grad"])
def test_the_oracle_is_the_model(subject, dtype, tolerance, gradients):
    model, inputs = prepared(subject, dtype)
    with torch.set_grad_enabled(gradients):
        expected = call(model, inputs)  # without gradients torch takes fused paths for whole layers
    close(visits(subject, model, inputs)[0], expected, tolerance)


@every_subject
def test_the_seed_decides(subject):
    first, again, other = (dict(subject.build(seed=seed).named_parameters()) for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


@every_subject
def test_sites_are_spelled_as_documented_and_none_is_trivial(subject):
    model, inputs = prepared(subject)
    _, seen = visits(subject, model, inputs)
    for site, value in seen.items():
        assert SITE.fullmatch(site), site
        if value.is_floating_point() and not site.endswith(":scores"):
            assert value.std() > 0.01, site


@every_subject
def test_patterns_are_distributions_over_what_the_mask_allows(subject):
    model, inputs = prepared(subject)
    _, seen = visits(subject, model, inputs)
    for site, pattern in seen.items():
        if site.endswith(":pattern"):
            scores = seen[site.replace("pattern", "scores")]
            assert torch.equal(scores == -torch.inf, pattern == 0)
            sees = (pattern > 0).any(-1)
            close(pattern.sum(-1)[sees], torch.ones_like(pattern.sum(-1)[sees]))
            if subject.name in ("llama", "mistral", "qwen3", "moe"):
                assert torch.equal(sees[:, 0], inputs["attention_mask"].bool())
            else:
                assert sees.all()


@every_subject
def test_heads_add_up_to_the_output_less_the_bias(subject):
    model, inputs = prepared(subject)
    _, seen = visits(subject, model, inputs)
    for site, result in seen.items():
        if site.endswith(":result"):
            path = site.removesuffix(":result")
            module = model.get_submodule(subject.native(path).partition("#")[0])
            biases = [part.bias for name, part in module.named_children() if name in ("c_proj", "out_proj", "proj")]
            close(result.sum(2) + (biases[0] if biases else 0.0), seen[f"{path}:out"])


@every_subject
def test_every_edit_bites(subject):
    model, inputs = prepared(subject)
    with torch.no_grad():
        clean, seen = visits(subject, model, inputs)
        for site, value in seen.items():
            if value.is_floating_point():
                out = edited(subject, model, inputs, {site: noise(value)})
                assert out.isfinite().all(), site
                assert (out - clean).abs().max() > 1e-4, site


@every_subject
def test_edits_at_in_and_out_equal_hooks_on_the_real_modules(subject):
    model, inputs = prepared(subject)
    with torch.no_grad():
        _, seen = visits(subject, model, inputs)
    for site, value in seen.items():
        path, _, port = site.partition(":")
        if port not in ("in", "out") or not value.is_floating_point():
            continue
        name, _, number = subject.native(path).partition("#")
        expected, reached = hooked(model, inputs, name, port, int(number or 0), noise(value))
        assert torch.allclose(reached, value, rtol=0, atol=1e-12 * value.abs().max().item()), site
        close(edited(subject, model, inputs, {site: noise(value)}), expected)


def hooked(model: nn.Module, inputs: Inputs, name: str, port: str, number: int, move: Tensor) -> tuple[Tensor, Tensor]:
    """The real model's output with `move` added to a module's first argument or result, and the value before that."""
    calls, reached = [], []

    def mine() -> bool:
        calls.append(name)
        return len(calls) - 1 == number

    def before(module, args, kwargs):
        if mine():
            key = None if args else next(iter(kwargs))
            value = args[0] if args else kwargs[key]
            reached.append(value.detach().clone())
            moved = value + move.reshape(value.shape)
            return ((moved, *args[1:]), kwargs) if args else (args, kwargs | {key: moved})
        return None

    def after(module, args, output):
        if mine():
            value = output if isinstance(output, Tensor) else output[0]
            reached.append(value.detach().clone())
            moved = value + move.reshape(value.shape)
            return moved if isinstance(output, Tensor) else (moved, *output[1:])
        return None

    module = model.get_submodule(name)
    attach = module.register_forward_pre_hook if port == "in" else module.register_forward_hook
    handle = attach(before, with_kwargs=True) if port == "in" else attach(after)
    try:
        return call(model, inputs).detach(), reached[0]
    finally:
        handle.remove()


@pytest.mark.parametrize(
    ("name", "site", "module", "port"),
    [
        ("gpt2", "layers.1:resid_mid", "transformer.h.1.ln_2", None),
        ("gpt2", "layers.1.attn:z", "transformer.h.1.attn.c_proj", "in"),
        ("gpt2", "layers.1.mlp:pre", "transformer.h.1.mlp.act", "in"),
        ("gpt2", "layers.1.mlp:post", "transformer.h.1.mlp.act", "out"),
        ("gpt2", "layers.1.mlp:neurons", "transformer.h.1.mlp.c_proj", "in"),
        ("llama", "layers.0:resid_mid", "model.layers.0.post_attention_layernorm", None),
        ("llama", "layers.0.attn:q_pre", "model.layers.0.self_attn.q_proj", "out"),
        ("llama", "layers.0.attn:k_pre", "model.layers.0.self_attn.k_proj", "out"),
        ("llama", "layers.0.attn:v", "model.layers.0.self_attn.v_proj", "out"),
        ("llama", "layers.0.attn:z", "model.layers.0.self_attn.o_proj", "in"),
        ("llama", "layers.0.mlp:pre", "model.layers.0.mlp.act_fn", "in"),
        ("llama", "layers.0.mlp:post", "model.layers.0.mlp.act_fn", "out"),
        ("llama", "layers.0.mlp:neurons", "model.layers.0.mlp.down_proj", "in"),
        ("mistral", "layers.1.attn:z", "model.layers.1.self_attn.o_proj", "in"),
        ("qwen3", "layers.0.attn:q_pre", "model.layers.0.self_attn.q_norm", "out"),
        ("qwen3", "layers.1.attn:k_pre", "model.layers.1.self_attn.k_norm", "out"),
        ("vit", "embed:out", "embed", "out"),
        ("vit", "layers.0.mlp:pre", "blocks.0.mlp.act", "in"),
        ("vit", "layers.0.mlp:neurons", "blocks.0.mlp.fc2", "in"),
        ("moe", "layers.0.mlp:router", "model.layers.0.mlp.gate", None),
        ("transformer", "encoder.layers.0:resid_mid", "encoder.layers.0.norm1", "out"),
        ("transformer", "decoder.layers.0:resid_mid", "decoder.layers.0.norm2", "out"),
        ("t5", "encoder.layers.1.attn:z", "encoder.block.1.layer.0.SelfAttention.o", "in"),
        ("t5", "decoder.layers.0.cross_attn:k", "decoder.block.0.layer.1.EncDecAttention.k", "out"),
        ("t5", "decoder.layers.0:resid_mid", "decoder.block.0.layer.2", "in"),
        ("t5", "decoder.layers.0.mlp:neurons", "decoder.block.0.layer.2.DenseReluDense.wo", "in"),
        ("own", "stacks.early.1:resid_mid", "stacks.early.1.norm2", None),
        ("own", "stacks.early.1:delta", "stacks.early.1.delta", "out"),
        ("own", "shared.attn#1:z", "shared.attn.proj#1", "in"),
        ("own", "shared.mlp#1:neurons", "shared.mlp.down#1", "in"),
    ],
)
def test_inner_ports_are_what_the_models_own_modules_pass_on(name, site, module, port):
    """Without a port, only the value is compared: a hook there would not move all that the site moves."""
    subject = named(name)
    model, inputs = prepared(subject)
    value = visits(subject, model, inputs)[1][site]
    path, _, number = module.partition("#")
    hook = port or ("out" if site.endswith("router") else "in")
    expected, reached = hooked(model, inputs, path, hook, int(number or 0), noise(value))
    close(value, reached.reshape(value.shape))
    if port:
        close(edited(subject, model, inputs, {site: noise(value)}), expected)


@every_subject
def test_q_k_v_and_z_are_what_the_kernel_is_given_and_returns(subject, monkeypatch):
    model, inputs = prepared(subject)
    _, seen = visits(subject, model, inputs)
    paths = [site.removesuffix(":q") for site in seen if site.endswith(":q")]
    given: list[tuple[Tensor, ...]] = []
    move: dict[str, Tensor] = {}
    kernel = F.scaled_dot_product_attention

    def moved(site: str, tensor: Tensor) -> Tensor:
        """The kernel's `batch head pos dim` with the site's move added; it may have copied shared heads already."""
        if site not in move:
            return tensor
        step = move[site].transpose(1, 2)
        return tensor + step.repeat_interleave(tensor.shape[1] // step.shape[1], 1)

    def watched(q: Tensor, k: Tensor, v: Tensor, *args, **kwargs) -> Tensor:
        path = paths[len(given)]
        q, k, v = moved(f"{path}:q", q), moved(f"{path}:k", k), moved(f"{path}:v", v)
        z = kernel(q, k, v, *args, **kwargs)
        given.append((q, k, v, z))
        return z

    monkeypatch.setattr(F, "scaled_dot_product_attention", watched)
    call(model, inputs)
    assert len(given) == len(paths)
    for path, tensors in zip(paths, given, strict=True):
        for port, tensor in zip(("q", "k", "v", "z"), tensors, strict=True):
            value = seen[f"{path}:{port}"]
            close(value.repeat_interleave(tensor.shape[1] // value.shape[2], 2), tensor.transpose(1, 2))
    for path in paths:
        for port in ("q", "k", "v"):
            site = f"{path}:{port}"
            given.clear()
            move = {site: noise(seen[site])}
            close(edited(subject, model, inputs, move), call(model, inputs))


@pytest.mark.parametrize(
    ("name", "path", "projection"),
    [
        ("gpt2", "layers.0.attn", "transformer.h.0.attn.c_proj"),
        ("llama", "layers.0.attn", "model.layers.0.self_attn.o_proj"),
        ("moe", "layers.0.attn", "model.layers.0.self_attn.o_proj"),
        ("vit", "layers.0.attn", "blocks.0.attn.out_proj"),
        ("transformer", "decoder.layers.0.cross_attn", "decoder.layers.0.multihead_attn.out_proj"),
        ("t5", "decoder.layers.1.cross_attn", "decoder.block.1.layer.1.EncDecAttention.o"),
        ("own", "stacks.late.0.attn", "stacks.late.0.attn.proj"),
    ],
)
@pytest.mark.parametrize("port", ["z", "result", "pattern", "v"])
def test_no_heads_is_no_output_weights(name, path, projection, port):
    subject = named(name)
    model, inputs = prepared(subject)
    ablated = edited(subject, model, inputs, {f"{path}:{port}": 0.0})
    with torch.no_grad():
        model.get_submodule(projection).weight.zero_()
    close(ablated, call(model, inputs))


@pytest.mark.parametrize("name", ["gpt2", "llama", "vit", "moe"])
def test_what_a_norm_is_given_is_not_the_residual_stream(name):
    subject = named(name)
    model, inputs = prepared(subject)
    seen: dict[str, Tensor] = {}

    def visit(site: str, value: Tensor) -> Tensor:
        seen[site] = value
        return 0.5 * value.flip(-1) if site == "layers.1.norm1:in" else value

    subject.forward(model, inputs, visit)
    close(seen["layers.1:resid_mid"], seen["layers.1:in"] + seen["layers.1.attn:out"])
    assert not torch.equal(visits(subject, model, inputs)[1]["layers.1.attn:out"], seen["layers.1.attn:out"])


@pytest.mark.parametrize(("name", "tolerance"), [("gpt2", 1e-12), ("vit", 1e-12), ("llama", 1e-6), ("own", 1e-6)])
def test_a_norm_is_divided_by_its_scale(name, tolerance):
    subject = named(name)
    model, inputs = prepared(subject)
    path = "stacks.late.0.norm2" if name == "own" else "layers.1.norm2"
    doubled: dict[str, Tensor] = {}

    def visit(site: str, value: Tensor) -> Tensor:
        doubled[site] = value
        return 2 * value if site == f"{path}:scale" else value

    subject.forward(model, inputs, visit)
    _, seen = visits(subject, model, inputs)
    norm = model.get_submodule(subject.native(path))
    bias = 0.0 if getattr(norm, "bias", None) is None else norm.bias
    close(doubled[f"{path}:out"] - bias, (seen[f"{path}:out"] - bias) / 2, tolerance)
    centred = seen[f"{path}:in"] - (seen[f"{path}:in"].mean(-1, keepdim=True) if isinstance(norm, nn.LayerNorm) else 0)
    close(centred / seen[f"{path}:scale"] * norm.weight + bias, seen[f"{path}:out"], tolerance)


@every_subject
def test_axes(subject):
    model, inputs = prepared(subject)
    _, seen = visits(subject, model, inputs)
    for site, value in seen.items():
        path, _, port = site.partition(":")
        if port == "scale":
            assert value.shape == (*seen[f"{path}:in"].shape[:-1], 1), site
        elif port == "pattern":
            batch, heads, pos, key = value.shape
            q, k, v, z, result = (seen[f"{path}:{name}"].shape for name in ("q", "k", "v", "z", "result"))
            assert q[:3] == z[:3] == result[:3] == (batch, pos, heads)
            assert k[:2] == v[:2] == (batch, key)
            assert heads % k[2] == 0
            assert k[2] == v[2] == (2 if subject.name in ("llama", "mistral", "qwen3", "moe") else heads)
            assert result[3] == seen[f"{path}:out"].shape[-1]
        elif port in ("router", "pre", "neurons") and path.endswith("mlp"):
            assert value.shape[:2] == seen[f"{path}:in"].shape[:2]


# Not float64 for Llama's family: its eager softmax is float32, where the mask's most negative float64 is −inf, and a
# padded query's row of NaN spoils every later layer.
@pytest.mark.parametrize(
    ("name", "dtype", "tolerance"),
    [("gpt2", torch.float64, 1e-12)]
    + [(name, torch.float32, 1e-5) for name in ("gpt2", "llama", "mistral", "qwen3", "moe")],
)
def test_patterns_are_those_of_the_eager_implementation(name, dtype, tolerance):
    subject = named(name)
    model, inputs = prepared(subject, dtype)
    _, seen = visits(subject, model, inputs)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        arguments = inputs if isinstance(inputs, dict) else {"input_ids": inputs}
        attentions = model(**arguments, output_attentions=True).attentions
    assert attentions and len(attentions) == sum(site.endswith(":pattern") for site in seen)
    for number, expected in enumerate(attentions):
        # Where a query may see nothing, the eager mask's large negative number spreads it over all keys instead.
        real = inputs["attention_mask"].bool() if isinstance(inputs, dict) else inputs >= 0
        pattern = seen[f"layers.{number}.attn:pattern"]
        close(pattern.transpose(1, 2)[real], expected.transpose(1, 2)[real], tolerance)
