"""Invoices as text."""


def format_cents(cents):
    whole = cents // 100
    rest = cents % 100
    text = str(whole)
    groups = []
    while len(text) > 3:
        groups.insert(0, text[-3:])
        text = text[:-3]
    groups.insert(0, text)
    return ".".join(groups) + f",{rest:02d} EUR"


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
            lines.append(f"{count} x {what}: {format_cents(count * cents)}")
        lines.append(f"Total: {format_cents(self.total())}")
        return "\n".join(lines)
