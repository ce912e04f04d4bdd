"""What TransformerLens calls a place, and which site that is: for the hints of errors."""

import re

_PLACES: dict[str, str] = {
    "embed": "embed:out",
    "pos_embed": "pos_embed:out",
    "ln_final.scale": "norm:scale",
}
_IN_A_BLOCK: dict[str, str] = {
    "resid_pre": ":in",
    "resid_mid": ":resid_mid",
    "resid_post": ":out",
    "attn_out": ".attn:out",
    "mlp_out": ".mlp:out",
    **{f"attn.{port}": f".attn:{port}" for port in ("q", "k", "v", "z", "result", "pattern")},
    "attn.attn_scores": ".attn:scores",
    "mlp.pre": ".mlp:pre",
    "mlp.post": ".mlp:post",
    "ln1.scale": ".norm1:scale",
    "ln2.scale": ".norm2:scale",
}
_BLOCK = re.compile(r"(?:blocks|layers)\.(\d+|\*)[.:](.*)")


def equivalent(text: str) -> str | None:
    """The site that `text` probably means: of `blocks.3.hook_resid_pre` or `layers.3:resid_pre`, `layers.3:in`."""
    plain = text.strip().replace("hook_", "")
    if found := _BLOCK.fullmatch(plain):
        place = _IN_A_BLOCK.get(found[2].replace(":", "."))
        return place and f"layers.{found[1]}{place}"
    return _PLACES.get(plain) if "hook_" in text else None
