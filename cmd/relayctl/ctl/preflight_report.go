package ctl

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// level grades a check.
type level string

const (
	levelOK   level = "ok"
	levelWarn level = "warn" // it works, but not as one would wish
	levelFail level = "fail" // do not go live with it
)

// check is one thing that preflight looked at.
type check struct {
	Level   level  `json:"level"`
	What    string `json:"what"`
	Finding string `json:"finding"`
	Next    string `json:"next,omitzero"` // what to do; empty: nothing
}

// checks are findings in the order they are shown.
type checks []check

func (c *checks) add(l level, what, next, format string, args ...any) {
	*c = append(*c, check{Level: l, What: clean(what), Finding: clean(fmt.Sprintf(format, args...)), Next: clean(next)})
}

func (c *checks) ok(what, format string, args ...any) { c.add(levelOK, what, "", format, args...) }

func (c *checks) warn(what, next, format string, args ...any) {
	c.add(levelWarn, what, next, format, args...)
}

func (c *checks) fail(what, next, format string, args ...any) {
	c.add(levelFail, what, next, format, args...)
}

// each runs one function per item at once, and keeps their findings in the order of the items.
func each[T any](c *checks, items []T, f func(*checks, T)) {
	parts := make([]checks, len(items))
	var wg sync.WaitGroup
	for i, item := range items {
		wg.Go(func() { f(&parts[i], item) })
	}
	wg.Wait()
	for _, part := range parts {
		*c = append(*c, part...)
	}
}

// preflightReport is all of it.
type preflightReport struct {
	Checks     checks                        `json:"checks"`
	RoundTrips map[string]map[string]float64 `json:"round_trips_ms,omitempty"` // from a member to another
	NotChecked []string                      `json:"not_checked"`

	down bool // no quorum, or nobody answered
}

func (r preflightReport) count(l level) (n int) {
	for _, c := range r.Checks {
		if c.Level == l {
			n++
		}
	}
	return n
}

func (r preflightReport) exit() int {
	switch {
	case r.down:
		return exitDown
	case r.count(levelFail) > 0:
		return exitDegraded
	}
	return exitOK
}

func (r preflightReport) render(colours bool) string {
	var b strings.Builder
	tones := map[level]style{levelOK: green, levelWarn: yellow, levelFail: red}
	for _, c := range r.Checks {
		pad := strings.Repeat(" ", 4-len(c.Level))
		fmt.Fprintf(&b, "%s%s  %s: %s\n", paint(colours, tones[c.Level], string(c.Level)), pad, c.What, c.Finding)
		if c.Next != "" {
			fmt.Fprintf(&b, "      next: %s\n", c.Next)
		}
	}
	if len(r.NotChecked) > 0 {
		b.WriteString("\nNot checked:\n")
		for _, what := range r.NotChecked {
			fmt.Fprintf(&b, "  %s\n", what)
		}
	}
	fmt.Fprintf(&b, "\n%d ok, %d to look at, %d failed\n", r.count(levelOK), r.count(levelWarn), r.count(levelFail))
	return b.String()
}

// took is a short time with the digits that matter.
func took(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// unwrapped is an error of the network without the address, which stands beside it already.
func unwrapped(err error) string {
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err
	}
	return err.Error()
}
