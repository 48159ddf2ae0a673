import unittest

from card import card

PANCAKES = """
Pancakes for 4
1 1/2 cup flour
2 eggs
300 g milk
"""


class CardTest(unittest.TestCase):
    def test_for_eight(self):
        self.assertEqual(card(PANCAKES, 8), "Pancakes (for 8)\n- 3 cups flour\n- 4 eggs\n- 600 g milk")

    def test_for_two(self):
        self.assertIn("- 150 g milk", card(PANCAKES, 2))


if __name__ == "__main__":
    unittest.main()
