"""Friendly letters about invoices that were not paid."""

from money import euros

FEE = 250


def reminder(invoice, paid, times):
    """What is still to be paid, and a fee from the second letter on."""
    left = invoice.total() - paid
    lines = [f"Dear {invoice.customer},", f"of invoice {invoice.number} {euros(left)} are open."]
    if left < 0:
        lines = [f"Dear {invoice.customer},", f"you paid too much; your balance is {euros(left)}."]
    elif times > 1:
        lines.append(f"With a fee of {euros(FEE)} this makes {euros(left + FEE)}.")
    return "\n".join(lines)
