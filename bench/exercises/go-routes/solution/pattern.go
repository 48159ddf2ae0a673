// Package routes finds the name of what answers a path.
package routes

import "strings"

// Pattern is a path whose parts that begin with a colon stand for any text: /users/:id.
type Pattern struct {
	parts []string
}

// Parse takes a pattern apart.
func Parse(text string) Pattern {
	return Pattern{parts: strings.Split(strings.TrimPrefix(text, "/"), "/")}
}

// Match gives the texts of the parts with a colon, by their names, and whether the path fits. A part with a colon
// stands for at least one character.
func (p Pattern) Match(path string) (map[string]string, bool) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if len(parts) != len(p.parts) {
		return nil, false
	}
	values := map[string]string{}
	for i, part := range p.parts {
		if strings.HasPrefix(part, ":") {
			if parts[i] == "" {
				return nil, false
			}
			values[part[1:]] = parts[i]
		} else if part != parts[i] {
			return nil, false
		}
	}
	return values, true
}

// Fixed counts the parts that stand for themselves.
func (p Pattern) Fixed() int {
	fixed := 0
	for _, part := range p.parts {
		if !strings.HasPrefix(part, ":") {
			fixed++
		}
	}
	return fixed
}
