"""How sure a share is that was found on some examples."""

Z95 = 1.959963984540054
"""standard errors on each side of a 95 % interval"""


def interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share, or of a mean of numbers from 0 to 1, over `count` examples.

    Wilson 1927, Probable Inference: of few examples it is no point, not even where all agree. Numbers between 0 and 1
    vary less than zeros and ones with their mean, so for them it is cautious.
    """
    middle, shrunk = share + Z95**2 / (2 * count), 1 + Z95**2 / count
    half = Z95 * (share * (1 - share) / count + (Z95 / (2 * count)) ** 2) ** 0.5
    return max((middle - half) / shrunk, 0.0), min((middle + half) / shrunk, 1.0)
