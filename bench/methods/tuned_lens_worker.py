"""tuned-lens: its lens, trained by the recipe of its `train`.

That takes models by name and cannot be imported beside today's torchdata, so its loop and its settings are here.
"""

import contextlib
from typing import Any

import torch
from models.protocol import Request, Timed, serve
from transformers import get_linear_schedule_with_warmup
from tuned_lens import TunedLens

from methods import lensed, subjects
from methods.gpt2 import gpt2


def fit(request: Request) -> Timed:
    """`adam`: its Adam, nothing held back, in float32. `as shipped`: SGD with Nesterov's momentum, in bfloat16."""
    model = gpt2(subjects.read(request.out / "trained.npz"))
    batches = [torch.from_numpy(batch) for batch in lensed.fitted_on()]

    def run() -> TunedLens:
        return _trained(model, batches, request.model == "as shipped")

    def detail() -> dict[str, Any]:
        maps = [
            (torch.eye(subjects.DIM).add(each.weight.detach().T).numpy(), each.bias.detach().numpy())
            for each in run().layer_translators
        ]
        lensed.write(request.out, f"tuned-lens {request.model}", maps)
        return {}

    return Timed(lambda: None, run, detail, bare_calls=2)


@torch.enable_grad()
def _trained(model: Any, batches: list[torch.Tensor], shipped: bool) -> TunedLens:
    """As its `train` does it: KL to the last layer, gradients cut at a norm of 1, the rate falling in a line."""
    lens = TunedLens.from_model(model)
    params = [each for each in lens.parameters() if each.requires_grad]
    optimiser = (
        torch.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)
        if shipped
        else torch.optim.Adam(params, lr=lensed.RATE, amsgrad=True)
    )
    schedule = get_linear_schedule_with_warmup(optimiser, 0, len(batches))
    for tokens in batches:
        with torch.no_grad():
            said = model(input_ids=tokens, output_hidden_states=True)
        target = said.logits.log_softmax(-1)
        for layer, value in enumerate(said.hidden_states[:-1]):
            with torch.autocast("cpu", torch.bfloat16) if shipped else contextlib.nullcontext():
                read = lens(value, idx=layer).log_softmax(-1)
                (target.exp() * (target - read)).sum(-1).mean().backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=False)
        schedule.step()
    return lens


if __name__ == "__main__":
    serve("tuned-lens", "tuned-lens", {"lens": fit})
