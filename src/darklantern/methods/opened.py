"""What every method asks of its first argument."""

from typing import Any

from darklantern.errors import SiteError
from darklantern.models.opened import Model


def check_opened(model: Any) -> None:
    """Raises SiteError for what is no opened model, as a torch module itself."""
    if not isinstance(model, Model):
        raise SiteError(
            f"expected an opened model, got {type(model).__name__}",
            hint="darklantern.open(model), or darklantern.open(model, tokenizer), makes one; of linen, Haiku and plain "
            "functions with weights=",
        )
