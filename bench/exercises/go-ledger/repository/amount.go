// Package ledger adds up what people paid each other.
package ledger

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseAmount reads an amount such as 12.50 or -3 or 0.5 as cents: at most two digits after the point.
func ParseAmount(text string) (int64, error) {
	whole, rest, hasPoint := strings.Cut(text, ".")
	units, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no amount", text)
	}
	if !hasPoint {
		return units * 100, nil
	}
	if len(rest) < 1 || len(rest) > 2 {
		return 0, fmt.Errorf("%q is no amount", text)
	}
	cents, err := strconv.ParseUint(rest, 10, 8)
	if err != nil {
		return 0, fmt.Errorf("%q is no amount", text)
	}
	if len(rest) == 1 {
		cents *= 10
	}
	return units*100 + int64(cents), nil
}
