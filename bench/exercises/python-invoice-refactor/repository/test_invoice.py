import unittest

import invoice as invoice_module
import reminder as reminder_module
from invoice import Invoice
from reminder import reminder


class InvoiceTest(unittest.TestCase):
    def setUp(self):
        self.invoice = Invoice(17, "Ada")
        self.invoice.add("lamp", 2, 61725)

    def test_invoice(self):
        self.assertEqual(self.invoice.text(), "Invoice 17 for Ada\n2 x lamp: 1.234,50 EUR\nTotal: 1.234,50 EUR")

    def test_reminder(self):
        self.assertIn("of invoice 17 1.234,50 EUR are open.", reminder(self.invoice, 0, 1))

    def test_one_function(self):
        from money import euros

        self.assertEqual(euros(5), "0,05 EUR")
        self.assertEqual(euros(-305), "-3,05 EUR")

    def test_no_copies_are_left(self):
        self.assertFalse(hasattr(invoice_module, "format_cents"))
        self.assertFalse(hasattr(reminder_module, "amount_text"))


if __name__ == "__main__":
    unittest.main()
