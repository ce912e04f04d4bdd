"""Adam (Kingma and Ba, 2015, algorithm 1), once for both frameworks: state, parameters, gradients → new ones."""

import math
from typing import Any

from darklantern.models.backends.trees import leaves, mapped


def start(xp: Any, params: Any) -> dict[str, Any]:
    """Both moments 0, no step taken. The number of steps is an array, so that compiled code serves every step."""
    first = next(leaves(params))
    return {
        "step": xp.astype(xp.sum(xp.zeros_like(first)), xp.int32),  # lies where the first one does
        "mean": mapped(xp.zeros_like, params),
        "square": mapped(xp.zeros_like, params),
    }


def step(
    xp: Any, state: dict[str, Any], params: Any, grads: Any, rate: float, decay: tuple[float, float], tiny: float
) -> tuple[Any, dict[str, Any]]:
    """As torch.optim.Adam and optax.adam compute it, in the dtype of the parameters."""
    one, two = decay
    count = state["step"] + 1
    mean = mapped(lambda old, new: one * old + (1 - one) * new, state["mean"], grads)
    square = mapped(lambda old, new: two * old + (1 - two) * new * new, state["square"], grads)

    def moved(param: Any, first: Any, second: Any) -> Any:
        lack_one, lack_two = (_lack(xp, count, each, param.dtype) for each in decay)
        return param - rate * (first / lack_one) / (xp.sqrt(second / lack_two) + tiny)

    return mapped(moved, params, mean, square), {"step": count, "mean": mean, "square": square}


def _lack(xp: Any, count: Any, decay: float, dtype: Any) -> Any:
    """1 - decay ** count: how much of its weight a moment has so far."""
    if not decay:
        return 1.0
    # In at least 32 bits, as 16 cannot count beyond 256; by expm1, as the difference itself would lose half its digits.
    wide = dtype if xp.finfo(dtype).bits >= 32 else xp.float32
    return xp.astype(-xp.expm1(xp.astype(count, wide) * math.log(decay)), dtype)
