package visits

import "testing"

func TestOldVisitsAreForgotten(t *testing.T) {
	c := New(600)
	c.Add(0)
	c.Add(500)
	if count := c.Count(550); count != 2 {
		t.Errorf("after 550 s there are %d visits, want 2", count)
	}
	if count := c.Count(700); count != 1 {
		t.Errorf("after 700 s there are %d visits, want 1", count)
	}
}

func TestLine(t *testing.T) {
	c := New(600)
	if line := Line(c, 10); line != "nobody was here" {
		t.Errorf("got %q", line)
	}
}
