"""Seats of a hall: rows are letters, seats are numbers."""

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Hall:
    """A hall with `rows` rows of `width` seats each. Seats are numbered through, from 0."""

    def __init__(self, rows, width):
        if not 1 <= rows <= len(LETTERS):
            raise ValueError(f"{rows} rows: 1 to {len(LETTERS)} are possible")
        self.rows = rows
        self.width = width
        self.taken = set()

    def size(self):
        return self.rows * self.width

    def label(self, seat):
        """What stands on the ticket: the row's letter and the number in the row, from 1."""
        row = seat // self.width
        number = seat % self.width
        return f"{LETTERS[row]}{number}"

    def take(self, seat):
        if not 0 <= seat < self.size():
            raise ValueError(f"there is no seat {seat}")
        if seat in self.taken:
            raise ValueError(f"{self.label(seat)} is taken")
        self.taken.add(seat)
        return self.label(seat)

    def free(self):
        return self.size() - len(self.taken)
