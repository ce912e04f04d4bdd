"""Which kinds of nonlinearity a model has that can be held."""

from darklantern.errors import MethodError, SiteError
from darklantern.methods.linearising import linearise
from darklantern.models.opened import Model

KINDS = ("attention", "norm", "activation")


def held(model: Model) -> tuple[Model, tuple[str, ...], dict[str, str]]:
    """`model` with every kind held that it has, which those are, and of the others why they are not.

    Raises MethodError where there is none: then nothing would be frozen.
    """
    kinds, missing = [], {}
    for kind in KINDS:
        try:
            linearise(model, {kind})
            kinds.append(kind)
        except SiteError as error:
            missing[kind] = error.message
    if not kinds:
        raise MethodError(
            f"nothing of this model can be frozen: {'; '.join(missing.values())}",
            hint='how="patching" freezes nothing; how="ig" follows the nonlinearities',
        )
    return linearise(model, kinds), tuple(kinds), missing
