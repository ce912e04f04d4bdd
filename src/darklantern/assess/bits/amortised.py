"""What a released artifact tells for each bit that it took, over all that is asked of it."""

from darklantern.errors import AssessmentError


def amortised(value_bits: float, budget_bits: float, artifact_bits: float, uses: int) -> float:
    """η(n) = n·v / (D + n·B): the truth of n uses, over the bits of the artifact and of n messages.

    It begins far below the efficiency v/B of one message and comes to it as uses grow, so that it tells whether it is
    better to give the tool away or only its results. It holds where each use asks for a truth of its own: about one
    that is asked for again and again, messages tell no more than there is to know. With v a lower bound, so is this.
    Raises AssessmentError for negative bits, for no uses, and for a value above the budget.
    """
    if not uses > 0 or min(budget_bits, artifact_bits) < 0 or value_bits > budget_bits:
        raise AssessmentError(
            f"expected uses and a value within the budget, got {uses} uses of {value_bits} in {budget_bits} bits, "
            f"and {artifact_bits} bits of an artifact",
            hint="a message tells at most its budget: prior or budget is wrong",
        )
    spent = artifact_bits + uses * budget_bits
    return uses * value_bits / spent if spent else 0.0
