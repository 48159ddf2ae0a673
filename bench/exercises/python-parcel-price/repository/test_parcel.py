import unittest

from parcel import Parcel


class ParcelTest(unittest.TestCase):
    def test_the_limit_belongs_to_its_band(self):
        self.assertEqual(Parcel(2, "NL").quote(), 490)

    def test_part_of_a_kilogram_counts(self):
        self.assertEqual(Parcel(2.4, "NL").quote(), 850)

    def test_too_heavy(self):
        with self.assertRaises(ValueError):
            Parcel(11, "FR").quote()

    def test_insured(self):
        self.assertEqual(Parcel(0.3, "FR", insured=True).quote(), 990)


if __name__ == "__main__":
    unittest.main()
