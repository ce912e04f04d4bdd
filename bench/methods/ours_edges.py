"""The product's edge scores, and the models that both sides score."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from models.protocol import Request, Timed

import darklantern as dl
from methods import gpt2, hooked, subjects, wired


def train(request: Request) -> dict[str, Any]:
    """Trains the small transformer, which edges and lenses are then of."""
    arrays, right = gpt2.trained()
    subjects.write(request.out / "trained.npz", arrays)
    return {"right_again": right}


def prepare(request: Request) -> dict[str, Any]:
    """Makes what both sides score edges of."""
    for name in hooked.MODELS:
        wired.write(name, request.out)
        (request.out / f"{name}-true.json").write_text(json.dumps([" → ".join(edge) for edge in wired.TRUE[name]]))
    return {}


def by(how: str) -> Callable[[Request], Timed]:
    """A case: the edges of a model, scored in one of the product's ways."""

    def scored(request: Request) -> Timed:
        arrays = np.load(request.out / f"{request.model}.npz")
        model = wired.opened(request.model, dict(arrays))
        clean, corrupt, toward = (torch.from_numpy(arrays[part]) for part in ("clean", "corrupt", "toward"))
        contrast = dl.Contrast(clean, corrupt, lambda output: (_logits(output) * toward).sum())

        def score(times: int = 1) -> Any:
            with torch.enable_grad():
                return dl.edge_scores(model, [contrast] * times, how)

        def detail() -> dict[str, Any]:
            found = score()
            held = {f"{sender} → {receiver}": found[sender, receiver] for sender, receiver in found.edges}
            (request.out / f"{request.model}-{request.case}-darklantern.json").write_text(json.dumps(held))
            np.save(request.out / f"{request.model}-output.npy", _logits(model.run(clean)).numpy())
            if how == "exact":
                return {"forward": found.made.cost.forward}
            once, both = found.made.cost, score(2).made.cost
            return {
                "forward": both.forward - once.forward,
                "backward": both.backward - once.backward,
                "forward_once": 2 * once.forward - both.forward,
            }

        return Timed(lambda: None, score, detail, bare_calls=2 if how == "exact" else 1)  # exact takes long: no warm-up

    return scored


def _logits(output: Any) -> torch.Tensor:
    return output.logits if hasattr(output, "logits") else output


HOW = ("exact", "eap", "eap-ig", "eap-ig-receivers", "relp", "ensemble")
CASES = {"train": train, "prepare_edges": prepare} | {f"edges_{how}": by(how) for how in HOW}
