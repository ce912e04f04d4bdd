"""Canonical paths: one name for a part in every family of models. Data first, then the one rule that reads it.

`layers.3.attn` is GPT-2's `transformer.h.3.attn` and Llama's `model.layers.3.self_attn`. A new family
is a new name in a table below; nothing here knows a framework or a model class.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

BLOCK_LISTS = ("layers", "h", "blocks", "block", "layer", "resblocks", "encoder_layers", "decoder_layers")
"""what families call their list of repeated blocks"""

IN_A_BLOCK: dict[str, tuple[str, ...]] = {
    "attn": (
        "self_attn", "attn", "attention", "self_attention", "layer.0.SelfAttention", "mixer.attn",
        "multi_head_attention", "MultiHeadDotProductAttention_0", "SelfAttention_0",
    ),
    "cross_attn": ("cross_attn", "encoder_attn", "crossattention", "multihead_attn", "layer.1.EncDecAttention"),
    "mlp": (
        "mlp", "feed_forward", "ffn", "ff", "block_sparse_moe", "moe",
        "layer.2.DenseReluDense", "layer.1.DenseReluDense", "MlpBlock_0", "Mlp_0", "MLP_0",
    ),
    "norm1": (
        "norm1", "ln_1", "ln1", "input_layernorm", "layernorm_before", "self_attn_layer_norm", "attention_norm",
        "layer.0.layer_norm", "norm_1", "LayerNorm_0", "RMSNorm_0", "layer_norm", "rms_norm",
    ),
    "norm2": (
        "norm2", "ln_2", "ln2", "pre_feedforward_layernorm", "post_attention_layernorm", "layernorm_after",
        "encoder_attn_layer_norm", "layer.1.layer_norm", "final_layer_norm", "ffn_norm", "mlp_norm",
        "norm_2", "LayerNorm_1", "RMSNorm_1", "layer_norm_1", "rms_norm_1",
    ),
    "norm3": ("norm3", "layer.2.layer_norm", "final_layer_norm"),
}  # fmt: skip
"""canonical name → what families call it, in order of preference"""

BESIDE_THE_BLOCKS: dict[str, tuple[str, ...]] = {
    "embed": (
        "embed",
        "embed_tokens",
        "wte",
        "tok_embeddings",
        "word_embeddings",
        "embeddings.word_embeddings",
        "embed_in",
        "token_embedding",
        "embedding",
        "Embed_0",
    ),
    "pos_embed": ("pos_embed", "wpe", "embed_positions", "embeddings.position_embeddings"),
    "norm": (
        "norm",
        "ln_f",
        "final_layernorm",
        "final_layer_norm",
        "layernorm",
        "ln_post",
        "final_norm",
        "LayerNorm_0",
        "RMSNorm_0",
        "layer_norm",
        "rms_norm",
    ),
    "unembed": (
        "unembed",
        "lm_head",
        "embed_out",
        "output",
        "head",
        "classifier",
        "Dense_0",
        "linear",
        "embed.attend",
        "wte.attend",
        "Embed_0.attend",
        "embedding.attend",
    ),
}
"""parts that stand next to the list of blocks, or above it"""

WRAPPERS = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"})
"""path parts that a wrapper adds and that name nothing"""
_FILLING = frozenset({"model", "transformer", "module", "base_model", "backbone", "text_model"})
"""path parts that do not tell two stacks of blocks apart"""


@dataclass(frozen=True)
class Part:
    """What the rule needs to know of one module."""

    is_list: bool
    """holds numbered children and is not called itself"""
    children: tuple[str, ...] = ()
    is_stack: bool = False
    """a list of blocks, whatever it is called"""


def canonical(tree: Mapping[str, Part], found: Mapping[str, str] | None = None) -> dict[str, str]:
    """Each native path's canonical path; its own where it has no other. `tree` is in model order, parents first.

    `found` says which role parts within a block play by what they compute, for those whose names do not tell.
    """
    roles = {"": ""} | _roles(tree, found or {})
    names: dict[str, str] = {}
    taken: set[str] = set()
    for path in tree:
        anchor = path
        while anchor not in roles:
            anchor = anchor.rpartition(".")[0]
        rest = _bare(path[len(anchor) :].lstrip("."))
        name = ".".join(filter(None, (roles[anchor], rest)))
        # Two parts must never share a name: the later one keeps its own path.
        names[path] = path if name in taken else name
        taken.add(names[path])
    return names


def _roles(tree: Mapping[str, Part], found: Mapping[str, str]) -> dict[str, str]:
    stacks = _stacks(tree)
    roles: dict[str, str] = {}
    for path, name in stacks.items():
        for child in tree[path].children:
            block = f"{path}.{child}"
            roles[block] = f"{name}.{child}"
            told = {f"{block}.{own}": role for role, own in _found(tree, block, IN_A_BLOCK)}
            for own in tree[block].children if block in tree else ():
                role = found.get(f"{block}.{own}")
                if role and role not in told.values() and f"{block}.{own}" not in told:
                    told[f"{block}.{own}"] = role
            roles |= {own: f"{name}.{child}.{role}" for own, role in told.items()}
        roles[path] = name
        prefix = name.rpartition("layers")[0]
        above = path
        while above:
            above = above.rpartition(".")[0]
            for role, own in _found(tree, above, BESIDE_THE_BLOCKS):
                if prefix + role not in roles.values():
                    roles[f"{above}.{own}".lstrip(".")] = prefix + role
            if prefix:  # what stands further up belongs to both stacks
                break
    if len(stacks) > 1:
        roles |= {own: role for role, own in _found(tree, "", BESIDE_THE_BLOCKS) if role not in roles.values()}
    return roles


def _stacks(tree: Mapping[str, Part]) -> dict[str, str]:
    """The outermost lists of blocks and their canonical names."""
    found: list[str] = []
    for path, part in tree.items():
        inside = any(path.startswith(f"{outer}.") for outer in found)
        blocks = path.rpartition(".")[2] in BLOCK_LISTS or part.is_stack
        if part.is_list and part.children and blocks and not inside:
            found.append(path)
    if len(found) <= 1:
        return dict.fromkeys(found, "layers")
    named = {path: ".".join([*_telling(path), "layers"]) for path in found}
    return named if len(set(named.values())) == len(named) else {path: _bare(path) for path in found}


def _telling(path: str) -> list[str]:
    return [part for part in path.split(".")[:-1] if part not in _FILLING | WRAPPERS]


def _found(tree: Mapping[str, Part], parent: str, names: Mapping[str, tuple[str, ...]]) -> Iterable[tuple[str, str]]:
    """Each role that a child of `parent` plays, and that child."""
    taken = set()
    for role, candidates in names.items():
        own = next((n for n in candidates if f"{parent}.{n}".lstrip(".") in tree and n not in taken), None)
        if own:
            taken.add(own)
            yield role, own


def _bare(path: str) -> str:
    return ".".join(part for part in path.split(".") if part not in WRAPPERS)
