package visits

import "fmt"

// Line is what the page shows.
func Line(c *Counter, now int64) string {
	switch count := c.Count(now); count {
	case 0:
		return "nobody was here"
	case 1:
		return "one visit"
	default:
		return fmt.Sprintf("%d visits", count)
	}
}
