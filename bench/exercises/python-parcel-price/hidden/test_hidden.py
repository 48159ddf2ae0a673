import unittest

from parcel import Parcel


class HiddenTest(unittest.TestCase):
    def test_every_limit(self):
        for kilograms, cents in [(0.5, 390), (0.501, 490), (2.0, 490), (2.001, 850), (10, 850)]:
            self.assertEqual(Parcel(kilograms, "BE").quote(), cents, kilograms)

    def test_grams_are_rounded(self):
        self.assertEqual(Parcel(0.29, "NL").grams(), 290)
        self.assertEqual(Parcel(1.1, "NL").grams(), 1100)

    def test_just_too_heavy(self):
        with self.assertRaises(ValueError):
            Parcel(10.001, "LU").quote()

    def test_insured(self):
        self.assertEqual(Parcel(9, "US", insured=True).quote(), 2695)
