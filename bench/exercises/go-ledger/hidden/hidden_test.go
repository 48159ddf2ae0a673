package ledger

import "testing"

func TestHiddenNegativeAmounts(t *testing.T) {
	for text, want := range map[string]int64{"-1.25": -125, "-0.50": -50, "-0.5": -50, "-12.05": -1205, "0.05": 5, "-0": 0} {
		if got, err := ParseAmount(text); err != nil || got != want {
			t.Errorf("%s is %d (%v), want %d", text, got, err, want)
		}
	}
}

func TestHiddenNoAmounts(t *testing.T) {
	for _, text := range []string{"", "x", "1.", "1.234", ".5", "1.-5", "1.x", "1.2.3"} {
		if got, err := ParseAmount(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

func TestHiddenSumIsZero(t *testing.T) {
	entries, err := Parse("a -> b -0.75\nb -> c 0.10")
	if err != nil {
		t.Fatal(err)
	}
	balances := Balances(entries)
	if balances["a"] != 75 || balances["b"] != -85 || balances["c"] != 10 {
		t.Errorf("got %v", balances)
	}
}
