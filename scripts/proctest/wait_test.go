package proctest_test

import (
	"testing"
	"time"
)

// poll is how often a condition is looked at.
const poll = 20 * time.Millisecond

// until waits for a condition, and fails the test when it takes too long.
func until(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	if !within(limit, ok) {
		t.Fatalf("%s: not within %s", what, limit)
	}
}

// within waits for a condition, and reports whether it came true in time.
func within(limit time.Duration, ok func() bool) bool {
	end := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(end) {
			return false
		}
		pass(poll)
	}
	return true
}

// pass lets time pass: not to wait for something, but because it is what the
// scenario says.
func pass(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}
