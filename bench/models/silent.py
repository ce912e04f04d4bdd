"""Ways in which a tool can do nothing and say nothing: each is loud (it raised), right, or silent (wrong, no word)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models import subjects, truth
from models.protocol import Unsupported, said

Probe = Callable[[], Tensor | None]
NAMES = (
    "typo_site",
    "never_reached_site",
    "late_hook_on_compiled",
    "one_line_body",
    "exec_code",
    "kwargs_only_module",
    "tuple_with_none",
)


def judge(probes: dict[str, tuple[Probe, Tensor | None]]) -> dict[str, Any]:
    """Run each probe and hold what it gives against the truth; where the truth is None only an error is right."""
    return {name: _verdict(*probes[name]) if name in probes else {"verdict": "not tried"} for name in NAMES}


def _verdict(probe: Probe, true: Tensor | None) -> dict[str, str]:
    try:
        value = probe()
    except Unsupported as reason:
        return {"verdict": "none", "said": str(reason)}
    except Exception as error:  # noqa: BLE001 - that it raises is the result
        return {"verdict": "loud", "said": said(error)}
    finally:
        torch._dynamo.reset()
    if value is None:
        return {"verdict": "silent", "said": "gave nothing"}
    if true is None:
        return {"verdict": "silent", "said": "gave a value where there is none"}
    if value.shape == true.shape and torch.allclose(value, true, atol=1e-5):
        return {"verdict": "right", "said": "the true value"}
    return {"verdict": "silent", "said": "a wrong value"}


def subject() -> nn.Module:
    """The Llama model, with a module in block 3 that no forward calls."""
    model = subjects.build("llama")
    subjects.block(model, "llama", truth.EDITED).spare = nn.Linear(subjects.WIDTH, subjects.WIDTH)
    return model


def compiled() -> nn.Module:
    """The same, compiled and already run once: hooks that come now come late. The cheap backend shows it too."""
    model = torch.compile(subject(), backend="eager")
    model(subjects.tokens())
    return model


def mlp_output() -> Tensor:
    """Block 3's MLP output."""
    return _read(lambda model: subjects.block(model, "llama", truth.EDITED).mlp)[1]


def attention_input() -> Tensor:
    """What block 3's attention is given: transformers calls it by keyword only."""
    return _read(lambda model: subjects.attention(model, "llama", truth.EDITED))[0]


def attention_output() -> Tensor:
    """Block 3's attention output, first of a tuple whose second is None under sdpa."""
    return _read(lambda model: subjects.attention(model, "llama", truth.EDITED))[1]


def logits_without_mlp() -> Tensor:
    """The logits when block 3's MLP output is zero."""
    model = subject()
    mlp = subjects.block(model, "llama", truth.EDITED).mlp
    mlp.register_forward_hook(lambda _m, _a, out: torch.zeros_like(out))
    return model(subjects.tokens()).logits


def logits_halved_attention() -> Tensor:
    """The logits when block 3's attention output is halved."""
    model = subject()
    subjects.attention(model, "llama", truth.EDITED).register_forward_hook(lambda _m, _a, out: truth.halve(out))
    return model(subjects.tokens()).logits


def _read(pick: Callable[[nn.Module], nn.Module]) -> tuple[Tensor, Tensor]:
    model, seen = subject(), []

    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        seen.append((args[0] if args else kwargs["hidden_states"], truth.first(out)))

    pick(model).register_forward_hook(hook, with_kwargs=True)
    model(subjects.tokens())
    return seen[0]
