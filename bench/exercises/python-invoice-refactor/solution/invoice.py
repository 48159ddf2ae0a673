"""Invoices as text."""

from money import euros


class Invoice:
    def __init__(self, number, customer):
        self.number = number
        self.customer = customer
        self.rows = []

    def add(self, what, count, cents):
        self.rows.append((what, count, cents))

    def total(self):
        return sum(count * cents for _, count, cents in self.rows)

    def text(self):
        lines = [f"Invoice {self.number} for {self.customer}"]
        for what, count, cents in self.rows:
            lines.append(f"{count} x {what}: {euros(count * cents)}")
        lines.append(f"Total: {euros(self.total())}")
        return "\n".join(lines)
