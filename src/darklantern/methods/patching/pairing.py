"""Clean and corrupt inputs that correspond, position by position."""

from typing import Any

from darklantern.models.opened import Model


def paired(model: Model, clean: Any, corrupt: Any) -> tuple[Any, Any]:
    """Prompts as batches, checked to have as many tokens as their partners; other inputs as they are."""
    if not (_is_text(clean) and _is_text(corrupt)):
        return clean, corrupt
    return model.batch(clean), model.batch(corrupt, align=clean)


def _is_text(inputs: Any) -> bool:
    return isinstance(inputs, str) or (isinstance(inputs, list) and all(isinstance(each, str) for each in inputs))
