"""captum: integrated gradients, all points of the path as one batch unless they are cut into smaller ones."""

from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients
from models.protocol import Request, Timed, serve

from methods import subjects
from methods.measuring import peaked


def integrated(request: Request) -> Timed:
    """Gauss–Legendre; `internal_batch_size` is a batch's own, by which memory grows least with the steps."""
    steps = int(request.model)
    net, inputs = subjects.perceptron(torch), torch.from_numpy(subjects.vectors())
    method = IntegratedGradients(lambda rows: net(rows)[:, subjects.CLASS])

    options: dict[str, Any] = {"method": "gausslegendre", "internal_batch_size": len(inputs)}

    def run() -> Any:
        with torch.enable_grad():
            return method.attribute(inputs, n_steps=steps, return_convergence_delta=True, **options)

    def detail() -> dict[str, Any]:
        (found, delta), high = peaked(run)
        np.savez(request.out / f"captum-{steps}.npz", found=found.detach().numpy())
        whole = net(inputs)[:, subjects.CLASS] - net(torch.zeros_like(inputs))[:, subjects.CLASS]
        return {"peak_bytes": high, "completeness": float(delta.abs().max() / whole.abs().max())}

    return Timed(lambda: None, run, detail)


if __name__ == "__main__":
    serve("captum", "captum", {"integrated": integrated})
