"""A parcel, as the counter takes it in."""

import rates

HOME = {"NL", "BE", "LU"}


class Parcel:
    def __init__(self, kilograms, country, insured=False):
        self.kilograms = kilograms
        self.country = country
        self.insured = insured

    def grams(self):
        """In whole grams, to the nearest one."""
        return round(self.kilograms * 1000)

    def zone(self):
        return "home" if self.country in HOME else "abroad"

    def quote(self):
        """The price in cents. Insurance is a tenth more, at least 100 cents."""
        price = rates.price(self.grams(), self.zone())
        if self.insured:
            price += max(100, price // 10)
        return price
