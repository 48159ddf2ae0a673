package routes

import "testing"

func TestHiddenOrderDoesNotMatter(t *testing.T) {
	patterns := []string{"/:a/:b", "/files/:b", "/:a/new", "/files/new"}
	for turn := range patterns {
		table := &Table{}
		for i := range patterns {
			pattern := patterns[(i+turn)%len(patterns)]
			table.Add(pattern, pattern)
		}
		if name, _ := table.Find("/files/new"); name != "/files/new" {
			t.Errorf("turn %d: /files/new leads to %q", turn, name)
		}
		if name, values := table.Find("/x/y"); name != "/:a/:b" || values["a"] != "x" || values["b"] != "y" {
			t.Errorf("turn %d: /x/y leads to %q with %v", turn, name, values)
		}
	}
}

func TestHiddenOfEqualOnesTheFirst(t *testing.T) {
	table := &Table{}
	table.Add("/:a/new", "first")
	table.Add("/files/:b", "second")
	if name, values := table.Find("/files/new"); name != "first" || values["a"] != "files" {
		t.Errorf("got %q with %v", name, values)
	}
}

func TestHiddenEmptyParts(t *testing.T) {
	table := &Table{}
	table.Add("/:a/:b", "two")
	for _, path := range []string{"//", "/x/", "//y", "/", "/x", "/x/y/z"} {
		if name, _ := table.Find(path); name != "" {
			t.Errorf("%s leads to %q", path, name)
		}
	}
}
