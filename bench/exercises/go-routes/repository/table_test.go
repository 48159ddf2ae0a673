package routes

import "testing"

func table() *Table {
	t := &Table{}
	t.Add("/users/:id", "user")
	t.Add("/users/me", "self")
	t.Add("/", "home")
	return t
}

func TestFind(t *testing.T) {
	for path, want := range map[string]string{"/users/7": "user", "/users/me": "self", "/users/": "", "/": "home"} {
		if name, _ := table().Find(path); name != want {
			t.Errorf("%s leads to %q, want %q", path, name, want)
		}
	}
}

func TestValues(t *testing.T) {
	if _, values := table().Find("/users/7"); values["id"] != "7" {
		t.Errorf("got %v", values)
	}
}
