from __future__ import annotations

from fractions import Fraction

import pytest

from flytelite.quantities import parse, parse_or_zero


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", 2),
        ("500m", Fraction(1, 2)),
        ("1.5", Fraction(3, 2)),
        (".5", Fraction(1, 2)),
        ("1Ki", 1024),
        ("200Mi", 200 * 1024**2),
        ("1E", 10**18),
        ("1e3", 1000),
        ("1E-3", Fraction(1, 1000)),
        ("+3k", 3000),
        ("-1G", -(10**9)),
        ("1n", Fraction(1, 10**9)),
    ],
)
def test_quantities(text, number):
    assert parse(text) == number
    assert parse_or_zero(text) == number


@pytest.mark.parametrize("text", ["", "x", "1 Gi", "1gi", "Mi", "1e", "1.2.3", "0x10", "1mi"])
def test_text_that_is_no_quantity(text):
    with pytest.raises(ValueError, match=r"is needed"):
        parse(text)
    assert parse_or_zero(text) == 0
