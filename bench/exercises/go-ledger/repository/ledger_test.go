package ledger

import "testing"

const text = `
ada -> bob 12.50 ; lunch
; a line of its own
bob -> cem 3.05
ada -> cem -1.25 ; came back
`

func TestParseIgnoresComments(t *testing.T) {
	entries, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	balances := Balances(entries)
	for name, want := range map[string]int64{"ada": -1125, "bob": 945, "cem": 180} {
		if balances[name] != want {
			t.Errorf("%s has %d, want %d", name, balances[name], want)
		}
	}
}

func TestAmounts(t *testing.T) {
	for text, want := range map[string]int64{"12.50": 1250, "3": 300, "0.5": 50, "-3": -300} {
		if got, err := ParseAmount(text); err != nil || got != want {
			t.Errorf("%s is %d (%v), want %d", text, got, err, want)
		}
	}
}
