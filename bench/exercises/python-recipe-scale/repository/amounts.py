"""Numbers as cooks write them: `2`, `1/2`, `1 1/2`."""

from fractions import Fraction


def parse(text):
    """The sum of its parts: a whole number, a fraction, or both."""
    total = Fraction(0)
    for part in text.split():
        total = Fraction(part) if "/" not in part else max(total, Fraction(part))
    return total


def show(amount):
    """The whole part and the rest as a fraction, whichever there is."""
    whole, rest = divmod(amount, 1)
    if not rest:
        return str(whole)
    if not whole:
        return str(rest)
    return f"{whole} {rest}"
