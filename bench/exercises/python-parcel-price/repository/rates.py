"""Prices by weight and zone, in cents."""

# Each band holds parcels up to and including so many grams.
BANDS = [
    (500, {"home": 390, "abroad": 890}),
    (2000, {"home": 490, "abroad": 1290}),
    (10000, {"home": 850, "abroad": 2450}),
]


def price(grams, zone):
    """The price of the first band that the parcel fits in; a ValueError where it fits in none."""
    for limit, prices in BANDS:
        if grams < limit:
            return prices[zone]
    return 0
