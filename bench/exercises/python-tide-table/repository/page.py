"""What the harbour page shows of a day."""

import tides


def summary(text):
    table = tides.parse(text)
    best = tides.highest(table)
    if best is None:
        return "no tides today"
    return f"high water {best.height:.1f} m at {best.time}"
