package main

import (
	"cmp"
	"fmt"
	"strings"
)

// mistake is one thing wrong with the configuration, with what to do about it.
type mistake struct {
	where place
	key   string // path of the key, with [index] for an item of a list; "" for the file as a whole
	text  string
}

// place is where something was set; the zero place is nowhere.
type place struct {
	source       string // name of the file or of the variable
	line, column int    // in the file, from 1
}

func (p place) String() string {
	if p.line == 0 {
		return p.source
	}
	return fmt.Sprintf("%s:%d:%d", p.source, p.line, p.column)
}

// before orders what the file says, from top to bottom, before the environment and before what is missing.
func (p place) before(q place) int {
	if p.line == 0 || q.line == 0 {
		return cmp.Compare(min(q.line, 1), min(p.line, 1))
	}
	return cmp.Or(cmp.Compare(p.line, q.line), cmp.Compare(p.column, q.column))
}

func (m mistake) String() string {
	var parts []string
	for _, part := range []string{m.where.String(), m.key, m.text} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// ConfigError is every mistake found in one configuration, in the order of the file.
type ConfigError struct{ mistakes []mistake }

// Error is one mistake per line.
func (e *ConfigError) Error() string {
	lines := make([]string, len(e.mistakes))
	for i, m := range e.mistakes {
		lines[i] = m.String()
	}
	return strings.Join(lines, "\n")
}
