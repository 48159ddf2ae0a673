package visits

import "testing"

func TestHiddenEdges(t *testing.T) {
	c := New(10)
	for now := int64(0); now < 5; now++ {
		c.Add(now)
	}
	for now, want := range map[int64]int{4: 5} {
		if got := c.Count(now); got != want {
			t.Errorf("at %d: %d, want %d", now, got, want)
		}
	}
	for i, want := range []int{5, 4, 3, 2, 1, 0, 0} {
		now := int64(9 + i)
		if got := c.Count(now); got != want {
			t.Errorf("at %d: %d, want %d", now, got, want)
		}
	}
}

func TestHiddenLines(t *testing.T) {
	c := New(600)
	c.Add(1)
	c.Add(2)
	for now, want := range map[int64]string{600: "2 visits"} {
		if got := Line(c, now); got != want {
			t.Errorf("at %d: %q, want %q", now, got, want)
		}
	}
	if got := Line(c, 601); got != "one visit" {
		t.Errorf("got %q", got)
	}
	if got := Line(c, 602); got != "nobody was here" {
		t.Errorf("got %q", got)
	}
}
