package main

import (
	"fmt"
	"slices"
	"sync"

	"github.com/thinrelay/thinrelay/fsm"
)

// ledger is the one history of the mark that all members must go through, in
// all their lives, and never backwards.
type ledger struct {
	mu     sync.Mutex
	states []fsm.State
	at     map[string]int // how many of states each member has been through, in its present life
	falls  int
	err    error // the first disagreement
}

// begin is a member's new life: it has applied nothing yet.
func (l *ledger) begin(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at[name] = 0
}

// applied is a member's next state. Several states may be passed over: a
// snapshot does that.
func (l *ledger) applied(name string, s fsm.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.at[name]
	var was fsm.State
	if at > 0 {
		was = l.states[at-1]
	}
	if s == was {
		return // the mark was set to what it was
	}
	if s.Mark.Height() < was.Mark.Height() {
		l.falls++
		l.disagree(fmt.Errorf("%s fell from %v to %v", name, was, s))
	}
	if i := slices.Index(l.states[at:], s); i >= 0 {
		l.at[name] = at + i + 1
		return
	}
	if at < len(l.states) {
		l.disagree(fmt.Errorf("%s went from %v to %v, another to %v", name, was, s, l.states[at]))
		return
	}
	l.states = append(l.states, s)
	l.at[name] = len(l.states)
}

func (l *ledger) disagree(err error) {
	if l.err == nil {
		l.err = err
	}
}

func (l *ledger) failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *ledger) lowered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.falls
}

// height is that of the newest state.
func (l *ledger) height() uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.states) == 0 {
		return 0
	}
	return l.states[len(l.states)-1].Mark.Height()
}
