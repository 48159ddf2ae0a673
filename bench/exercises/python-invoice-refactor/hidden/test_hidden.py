import unittest

import invoice as invoice_module
import reminder as reminder_module
from invoice import Invoice
from money import euros
from reminder import reminder


class HiddenTest(unittest.TestCase):
    def test_amounts(self):
        for cents, text in [
            (0, "0,00 EUR"),
            (99, "0,99 EUR"),
            (100, "1,00 EUR"),
            (99999, "999,99 EUR"),
            (100000, "1.000,00 EUR"),
            (123456789, "1.234.567,89 EUR"),
            (-5, "-0,05 EUR"),
            (-100000, "-1.000,00 EUR"),
        ]:
            self.assertEqual(euros(cents), text)

    def test_both_use_it(self):
        own = Invoice(3, "Bo")
        own.add("desk", 1, 250000)
        self.assertIn("Total: 2.500,00 EUR", own.text())
        self.assertIn("With a fee of 2,50 EUR this makes 1.502,50 EUR.", reminder(own, 100000, 2))
        self.assertIn("your balance is -0,01 EUR.", reminder(own, 250001, 1))

    def test_no_copies_are_left(self):
        self.assertFalse(hasattr(invoice_module, "format_cents"))
        self.assertFalse(hasattr(reminder_module, "amount_text"))
