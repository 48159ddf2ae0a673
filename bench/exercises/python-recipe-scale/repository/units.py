"""Quantities with a unit."""

import amounts

UNITS = {"cup": "cups", "spoon": "spoons", "g": "g"}


class Quantity:
    def __init__(self, amount, unit):
        self.amount = amount
        self.unit = unit

    @classmethod
    def parse(cls, line):
        """The quantity at the beginning of a line, and what follows it."""
        words = line.split()
        number = []
        while words and words[0][0].isdigit():
            number.append(words.pop(0))
        unit = words.pop(0) if words and words[0] in UNITS else ""
        return cls(amounts.parse(" ".join(number)), unit), " ".join(words)

    def times(self, new, old):
        return Quantity(self.amount * new / old, self.unit)

    def __str__(self):
        shown = amounts.show(self.amount)
        if not self.unit:
            return shown
        return f"{shown} {self.unit if self.amount <= 1 else UNITS[self.unit]}"
