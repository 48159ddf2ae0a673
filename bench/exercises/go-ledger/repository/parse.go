package ledger

import (
	"fmt"
	"strings"
)

// Entry is one line: somebody gave somebody so many cents.
type Entry struct {
	From, To string
	Cents    int64
}

// Parse reads lines such as `ada -> bob 12.50`. Empty lines and what follows a ; are left out. A negative amount is money
// that came back.
func Parse(text string) ([]Entry, error) {
	var entries []Entry
	for number, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, ";")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 4 || fields[1] != "->" {
			return nil, fmt.Errorf("line %d: %q is no entry", number+1, line)
		}
		cents, err := ParseAmount(fields[3])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number+1, err)
		}
		entries = append(entries, Entry{From: fields[0], To: fields[2], Cents: cents})
	}
	return entries, nil
}
