import unittest
from fractions import Fraction

import amounts
from card import card


class HiddenTest(unittest.TestCase):
    def test_numbers(self):
        for text, amount in [("2", 2), ("1/2", Fraction(1, 2)), ("2 3/4", Fraction(11, 4)), ("10 1/3", Fraction(31, 3))]:
            self.assertEqual(amounts.parse(text), amount, text)

    def test_back_to_what_it_was(self):
        self.assertEqual(card("Soup for 4\n2 3/4 cup water", 4), "Soup (for 4)\n- 2 3/4 cups water")

    def test_less(self):
        self.assertEqual(card("Soup for 4\n1 1/2 cup water\n1/2 spoon salt", 2), "Soup (for 2)\n- 3/4 cup water\n- 1/4 spoon salt")
