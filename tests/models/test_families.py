"""Families of transformers: the same words, the same bits, and a clear no where a port is missing."""

from collections.abc import Callable

import pytest
import torch
import transformers as hf
from subjects import hooks
from torch import Tensor, nn

from darklantern import models
from darklantern.errors import SiteError

SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "vocab_size": 100}
GQA = {**SIZE, "num_key_value_heads": 2}
ENDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
FULL = {"in", "q_pre", "k_pre", "q", "k", "v", "scores", "pattern", "z", "result", "out"}
PACKED = FULL - {"q_pre", "k_pre"}
OWN = {"in", "out"}

FAMILIES: dict[str, tuple[Callable[[], nn.Module], set[str], bool]] = {
    "mistral": (lambda: hf.MistralForCausalLM(hf.MistralConfig(**GQA, sliding_window=3)), FULL, True),
    "gemma2": (lambda: hf.Gemma2ForCausalLM(hf.Gemma2Config(**GQA, head_dim=8, sliding_window=4)), FULL, True),
    "gemma3": (lambda: hf.Gemma3ForCausalLM(hf.Gemma3TextConfig(**GQA, head_dim=8, sliding_window=4)), FULL, True),
    "qwen2": (lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(**GQA)), FULL, True),
    "phi": (lambda: hf.PhiForCausalLM(hf.PhiConfig(**SIZE, **ENDS)), FULL, False),
    "phi3": (lambda: hf.Phi3ForCausalLM(hf.Phi3Config(**GQA, **ENDS)), PACKED, True),
    "neox": (lambda: hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(**SIZE)), PACKED, False),
    "olmo2": (lambda: hf.Olmo2ForCausalLM(hf.Olmo2Config(**GQA, **ENDS)), FULL, False),
    "qwen2moe": (
        lambda: hf.Qwen2MoeForCausalLM(
            hf.Qwen2MoeConfig(
                **GQA,
                num_experts=4,
                num_experts_per_tok=2,
                moe_intermediate_size=16,
                shared_expert_intermediate_size=16,
            )
        ),
        FULL,
        True,
    ),
    "gptoss": (
        lambda: hf.GptOssForCausalLM(
            hf.GptOssConfig(**GQA, **ENDS, head_dim=8, num_local_experts=4, num_experts_per_tok=2, sliding_window=4)
        ),
        FULL,
        True,
    ),
    "falcon": (lambda: hf.FalconForCausalLM(hf.FalconConfig(**SIZE, **ENDS)), PACKED, False),
    "bert": (lambda: hf.BertForMaskedLM(hf.BertConfig(**SIZE)), FULL, False),
    "gptj": (
        lambda: hf.GPTJForCausalLM(hf.GPTJConfig(n_embd=32, n_layer=2, n_head=4, vocab_size=100, rotary_dim=4, **ENDS)),
        OWN,
        False,
    ),
    "bloom": (
        lambda: hf.BloomForCausalLM(hf.BloomConfig(hidden_size=32, n_layer=2, n_head=4, vocab_size=100, **ENDS)),
        OWN,
        False,
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_family_speaks_the_same_words_bit_for_bit(family: str) -> None:
    build, attention, stream = FAMILIES[family]
    torch.manual_seed(0)
    module = build().eval()
    ids = torch.randint(3, 100, (2, 7), generator=torch.Generator().manual_seed(1))
    bare: Tensor = module(ids).logits
    model = models.open(module)
    ports = {site.port for site in model.sites("layers.1.attn:*")}
    assert ports == attention
    sites = [site for site in model.sites("layers.1:*") + model.sites("layers.1.*:*") if site.port != "resid_mid"]
    sites = [
        site
        for site in sites
        if not {"expert", "dropout"} & {w.strip("s") for w in site.path.replace("_", ".").split(".")}
    ]
    recording = model.record(ids, *sites)
    assert torch.equal(recording.output.logits, bare)
    if "pattern" in attention:
        rows = recording["layers.1.attn:pattern"].array.sum(-1)
        assert bool((rows <= 1 + 1e-5).all())  # less than 1 where a sink takes its share
        heads = recording["layers.1.attn:result"].array.sum(2)
        assert heads.shape == recording["layers.1:out"].array.shape
    else:
        with pytest.raises(SiteError) as refused:
            model.record(ids, "layers.1.attn:pattern")
        assert "there is no tap" in refused.value.hint
    if stream:
        assert torch.equal(model.record(ids, "layers.1:resid_mid").output.logits, bare)
    else:
        with pytest.raises(SiteError, match="resid_mid"):
            model.record(ids, "layers.1:resid_mid")
    assert torch.equal(module(ids).logits, bare)
    assert hooks(module) == 0
