//go:build e2e

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// row is what one fault cost.
type row struct {
	fault    string
	budget   int // slots that may be lost
	cost     losses
	takeover time.Duration // 0: leadership did not move
	ok       bool
}

// table collects the rows of all tests.
type table struct {
	mu    sync.Mutex
	rows  []row
	notes []string
}

var results table

func (t *table) add(r row) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, r)
}

// note keeps what a failure is about for below the table: the last lines are what is left of a long output.
func (t *table) note(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// markdown is the table as it is printed.
func (t *table) markdown() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	b.WriteString("| fault | our slots | lost | allowed | late | takeover | |\n|---|---|---|---|---|---|---|\n")
	for _, r := range t.rows {
		took, verdict := "-", "ok"
		if r.takeover > 0 {
			took = r.takeover.Round(10 * time.Millisecond).String()
		}
		if !r.ok {
			verdict = "FAILED"
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %s | %s |\n", r.fault, r.cost.slots, r.cost.lost, r.budget, r.cost.late, took, verdict)
	}
	for _, n := range t.notes {
		b.WriteString("\n" + n + "\n")
	}
	return b.String()
}

func TestMain(m *testing.M) {
	code := m.Run()
	if regions != nil {
		regions.down()
	}
	if len(results.rows) > 0 {
		text := results.markdown()
		fmt.Print("\n" + text)
		file := filepath.Join(root, "dist", "e2e.md")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err == nil {
			_ = os.WriteFile(file, []byte(text), 0o644) // printed above all the same
		}
	}
	os.Exit(code)
}
