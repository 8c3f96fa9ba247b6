"""Kubernetes resource quantities: ``500m``, ``1.5``, ``200Mi``, ``2e3``.

Grammar: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))([eE][+-]?[0-9]{1,3}|[KMGTPE]i|[numkMGTPE])?")
_SCALE = {
    **{
        suffix: Fraction(10) ** power
        for suffix, power in zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18), strict=True)
    },
    **{f"{suffix}i": Fraction(1024) ** (power + 1) for power, suffix in enumerate("KMGTPE")},
}


def parse(text: str) -> Fraction:
    """The number that the text stands for. Raises ValueError when it is no quantity."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError("a number with an optional suffix such as m, k, M, Gi or e3 is needed")
    number, suffix = Fraction(match[1]), match[2] or ""
    if suffix in _SCALE:
        return number * _SCALE[suffix]
    return number * Fraction(10) ** int(suffix[1:]) if suffix else number


@lru_cache(maxsize=1024)  # the same few limits are read for each task
def parse_or_zero(text: str) -> Fraction:
    """The number, or 0, which means that nothing is asked for, when the text is no quantity."""
    try:
        return parse(text)
    except ValueError:
        return Fraction(0)


def text_of(value: object) -> str:
    """The text of a quantity in a Struct, in which numbers are floats."""
    return f"{value:f}" if isinstance(value, float) else str(value)
