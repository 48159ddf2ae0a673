"""Friendly letters about invoices that were not paid."""

FEE = 250


def amount_text(cents):
    return f"{cents / 100:.2f}".replace(".", ",") + " EUR"


def reminder(invoice, paid, times):
    """What is still to be paid, and a fee from the second letter on."""
    left = invoice.total() - paid
    lines = [f"Dear {invoice.customer},", f"of invoice {invoice.number} {amount_text(left)} are open."]
    if left < 0:
        lines = [f"Dear {invoice.customer},", f"you paid too much; your balance is {amount_text(left)}."]
    elif times > 1:
        lines.append(f"With a fee of {amount_text(FEE)} this makes {amount_text(left + FEE)}.")
    return "\n".join(lines)
