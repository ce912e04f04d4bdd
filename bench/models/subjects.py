"""The models and inputs of the bench: 12 layers, d = 128, random weights from one seed, 32 tokens, fp32, sdpa."""

import copy

import torch
from tokenizers import Tokenizer, models
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from models import others
from models.names import OTHERS, SEED

LAYERS, WIDTH, HEADS, KV_HEADS, VOCABULARY, TOKENS = 12, 128, 4, 2, 512, 32
# Where the parts are, in the model's own names.
BLOCKS = {"gpt2": "transformer.h", "llama": "model.layers", **dict.fromkeys(OTHERS, "blocks")}
ATTENTION = {"gpt2": "attn", "llama": "self_attn"}
UP = {"gpt2": "mlp.c_fc", "llama": "mlp.up_proj"}
NORM = {"gpt2": "transformer.ln_f", "llama": "model.norm"}


def build(name: str, attention: str = "sdpa") -> nn.Module:
    """The same weights in every process: one seed, one torch. No dropout, no key-value cache."""
    if name in OTHERS:
        return others.build(name)
    shared = {"vocab_size": VOCABULARY, "use_cache": False, "attn_implementation": attention}
    if name == "gpt2":
        sizes = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": 64}
        off = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}
        config, kind = GPT2Config(**sizes, **off, **shared, bos_token_id=0, eos_token_id=0), GPT2LMHeadModel
    else:
        sizes = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
        more = {"num_key_value_heads": KV_HEADS, "intermediate_size": 352, "max_position_embeddings": 64}
        config, kind = LlamaConfig(**sizes, **more, **shared, bos_token_id=0, eos_token_id=0), LlamaForCausalLM
    torch.manual_seed(SEED)
    model = kind(config)
    with torch.random.fork_rng():
        torch.manual_seed(SEED + 1)
        for parameter in model.parameters():
            # The libraries' own 0.02 makes every attention pattern flat and every edit invisible.
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.05)
    return model.eval()


def twin(model: nn.Module) -> nn.Module:
    """A second tree of modules over the same tensors: untouched by a peer, and the same in the processor's caches."""
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


def tokens(which: str = "clean") -> Tensor:
    """One row of 32 tokens; the corrupt row differs in five places."""
    rows = torch.randint(1, VOCABULARY, (2, TOKENS), generator=torch.Generator().manual_seed(SEED))
    if which == "clean":
        return rows[:1]
    changed = torch.zeros(TOKENS, dtype=torch.bool)
    changed[[3, 8, 14, 21, 27]] = True
    return torch.where(changed, rows[1:], rows[:1])


def inputs(name: str) -> Tensor:
    """What a model takes: tokens, or an image or vectors."""
    return others.inputs(name) if name in OTHERS else tokens()


def tokenizer() -> PreTrainedTokenizerFast:
    """A word for each token: two peers want a tokenizer before they open a model or batch its inputs."""
    words = {f"w{i}": i for i in range(VOCABULARY)}
    made = Tokenizer(models.WordLevel(words, unk_token="w0"))
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="w0", eos_token="w0", pad_token="w0", unk_token="w0"
    )


def block(model: nn.Module, name: str, layer: int) -> nn.Module:
    """One block of the native model."""
    return model.get_submodule(f"{BLOCKS[name]}.{layer}")


def attention(model: nn.Module, name: str, layer: int) -> nn.Module:
    """The attention of one block."""
    return block(model, name, layer).get_submodule(ATTENTION[name])


def metric(logits: Tensor) -> Tensor:
    """The effect that the sweep measures: how far one token's logit is above another's, at the last position."""
    return logits[0, -1, 7] - logits[0, -1, 11]
