"""Writers for those who live elsewhere: each look's readings into TensorBoard, Weights & Biases or MLflow.

In: a View after each look, without held-out monitors. Out: `watch/<signal>/value`, `placebo`, `statistic` and
`threshold` at their training steps, and each alarm and reaction as text. One file for each tool, loaded when asked
for. A writer that fails is said once and switched off; training goes on.
"""

from darklantern.watch.writers.mlflow import mlflow
from darklantern.watch.writers.tensorboard import tensorboard
from darklantern.watch.writers.wandb import wandb

__all__ = ["mlflow", "tensorboard", "wandb"]
