package ctl

import (
	"strings"
	"unicode/utf8"
)

// column is one column of a table.
type column struct {
	title string
	min   int // least width, so that tables do not jump while watched
}

// table aligns rows under titles, two spaces apart. Cells may carry a style,
// which takes no width.
type table struct {
	columns []column
	rows    [][]cell
}

type cell struct {
	text  string
	style style
}

// style is a terminal colour sequence; empty for none.
type style string

const (
	plain  style = ""
	bold   style = "\x1b[1m"
	faint  style = "\x1b[2m"
	green  style = "\x1b[32m"
	yellow style = "\x1b[33m"
	red    style = "\x1b[31m"
	reset        = "\x1b[0m"
)

// paint applies a style where colours are wanted.
func paint(colours bool, s style, text string) string {
	if !colours || s == plain || text == "" {
		return text
	}
	return string(s) + text + reset
}

func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

func text(s string) cell { return cell{text: s} }

// render returns the table's lines. A row may have one cell more than there are
// columns: a remark, which stretches no column.
func (t *table) render(colours bool) string {
	widths := make([]int, len(t.columns))
	for i, c := range t.columns {
		widths[i] = max(c.min, len(c.title))
		if i == len(t.columns)-1 {
			widths[i] = c.min // nothing stands beside the last title
		}
		for _, row := range t.rows {
			if i < len(row) {
				widths[i] = max(widths[i], utf8.RuneCountInString(row[i].text))
			}
		}
	}
	var out strings.Builder
	line := func(cells []cell) {
		var b strings.Builder
		for i, c := range cells {
			b.WriteString(paint(colours, c.style, c.text))
			if i < len(widths) && i < len(cells)-1 {
				b.WriteString(strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(c.text))+2))
			}
		}
		out.WriteString(strings.TrimRight(b.String(), " "))
		out.WriteByte('\n')
	}
	titles := make([]cell, len(t.columns))
	for i, c := range t.columns {
		titles[i] = cell{c.title, bold}
	}
	line(titles)
	for _, row := range t.rows {
		line(row)
	}
	return out.String()
}

// cleanLines is clean for text of several lines, as errors have it.
func cleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

// clean makes a name from elsewhere fit for a terminal: no control characters,
// no line breaks, nothing that could move the cursor.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || (r >= 0x80 && r < 0xa0) || r == utf8.RuneError || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) {
			return '?'
		}
		return r
	}, s)
}
