"""The product's tuned lens, and what lenses of either side say on batches that neither saw."""

from typing import Any

import numpy as np
import torch
from models.protocol import Request, Timed

import darklantern as dl
from methods import lensed, subjects
from methods.gpt2 import gpt2


def fit(request: Request) -> Timed:
    """`fit_lens` as it is; it measures itself on the held-out batches too, within the time."""
    model = dl.open(gpt2(subjects.read(request.out / "trained.npz")))
    batches = [torch.from_numpy(batch) for batch in lensed.batches()]

    def run() -> Any:
        return dl.fit_lens(model, batches, sites="layers.*:in", steps=lensed.STEPS)

    def detail() -> dict[str, Any]:
        found = run()
        maps = [found.translators.maps[site] for site in found.place.sites]
        lensed.write(request.out, f"darklantern {request.model}", maps)
        return {"said_of_itself": list(found.fitted)}

    return Timed(lambda: None, run, detail, bare_calls=2)


def held_against(request: Request) -> dict[str, Any]:
    """KL(model ‖ lens) in nats for what goes into each layer: by one code for all maps, and of no map."""
    model = gpt2(subjects.read(request.out / "trained.npz"))
    none = [(np.eye(subjects.DIM, dtype=np.float32), np.zeros(subjects.DIM, np.float32))] * subjects.LAYERS
    lenses = {path.stem.removeprefix("lens-"): lensed.read(request.out, path.stem.removeprefix("lens-"))
              for path in sorted(request.out.glob("lens-*.npz"))}  # fmt: skip
    return {name: _apart(model, maps) for name, maps in {"logit lens": none, **lenses}.items()}


def _apart(model: Any, maps: lensed.Maps) -> list[float]:
    said = model(torch.from_numpy(np.concatenate(lensed.held_out())), output_hidden_states=True)
    target = said.logits.log_softmax(-1)
    found = []
    for value, (matrix, shift) in zip(said.hidden_states[:-1], maps, strict=True):
        translated = value @ torch.from_numpy(matrix) + torch.from_numpy(shift)
        read = model.lm_head(model.transformer.ln_f(translated)).log_softmax(-1)
        found.append(float((target.exp() * (target - read)).sum(-1).mean()))
    return found


CASES = {"lens": fit, "lens_kl": held_against}
