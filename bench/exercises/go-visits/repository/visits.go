// Package visits counts what happened lately.
package visits

// Counter counts visits that are younger than its window. Times are in seconds and never go back.
type Counter struct {
	window int64
	times  []int64
}

// New makes a counter with a window of so many seconds.
func New(window int64) *Counter {
	return &Counter{window: window}
}

// Add takes down a visit.
func (c *Counter) Add(now int64) {
	c.forget(now)
	c.times = append(c.times, now)
}

// Count tells how many visits are younger than the window: one that is exactly as old as the window is not.
func (c *Counter) Count(now int64) int {
	c.forget(now)
	return len(c.times)
}

// forget drops the visits that do not count any more.
func (c *Counter) forget(now int64) {
	first := 0
	for first < len(c.times) && c.times[first] > now+c.window {
		first++
	}
	c.times = c.times[first:]
}
