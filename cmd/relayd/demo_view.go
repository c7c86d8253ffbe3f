package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// demoView prints one line per event worth reading.
type demoView struct {
	mu     sync.Mutex
	w      io.Writer
	json   bool
	began  time.Time
	round  uint32
	done   [director.RoundSlots]bool
	others wire.Name
	closed bool
}

func newDemoView(w io.Writer, asJSON bool) *demoView {
	return &demoView{w: w, json: asJSON, began: time.Now()}
}

// close makes the view print no more.
func (v *demoView) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
}

// line prints one event; who is the relay it happened at, or empty.
func (v *demoView) line(text, who string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.print(text, who)
}

// print is line with v.mu held.
func (v *demoView) print(text, who string) {
	if v.closed {
		return
	}
	at := time.Since(v.began)
	if v.json {
		_ = json.NewEncoder(v.w).Encode(map[string]any{"ms": at.Milliseconds(), "relay": who, "event": text})
		return
	}
	fmt.Fprintf(v.w, "%6.1fs  %-4s  %s\n", at.Seconds(), who, text)
}

// network shows what happens outside: rounds of others, replicas.
func (v *demoView) network(e simnet.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch e.Kind {
	case simnet.RoundBegan:
		if e.Producer != v.others {
			v.others = e.Producer
			if e.Producer.String() != "bpa" {
				v.print(fmt.Sprintf("%s's round: its blocks go to every replica", e.Producer), "")
			}
		}
	case simnet.Paused:
		v.print(fmt.Sprintf("%s signs no more: it hears no votes of others, and follows", e.Node), "")
	case simnet.Resumed:
		v.print(fmt.Sprintf("%s signs again", e.Node), "")
	default:
	}
}

// relay shows what a relay reports.
func (v *demoView) relay(name string, r relay.Record) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch r.Kind {
	case relay.Forwarded:
		v.print(v.block(r), name)
	case relay.Missed:
		v.print(fmt.Sprintf("no block for slot %d of our round", uint32(r.Block.Slot)%director.RoundSlots+1), name)
	case relay.ActiveChange:
		if r.Name != "" {
			v.print(fmt.Sprintf("%s is the active replica (%s)", r.Name, r.Cause), name)
		}
	case relay.Leading:
		v.print(fmt.Sprintf("leads the group, in term %d", r.Term), name)
	case relay.Following:
		v.print("leads no more", name)
	case relay.Unresolved:
		v.print(r.Text, name)
	case relay.VoteConflict, relay.Equivocation:
		v.print("ALARM: two signatures where there must be one, by "+r.Name, name)
	}
}

// block is the line of a forwarded block: where in the round it is, and how
// long before its slot it left.
func (v *demoView) block(r relay.Record) string {
	slot := uint32(r.Block.Slot)
	if n := slot / director.RoundSlots; n != v.round {
		v.round, v.done = n, [director.RoundSlots]bool{}
	}
	v.done[slot%director.RoundSlots] = true
	var bar strings.Builder
	for _, d := range v.done {
		if d {
			bar.WriteRune('■')
		} else {
			bar.WriteRune('·')
		}
	}
	when := fmt.Sprintf("%3d ms early", r.Lead.Milliseconds())
	if r.Lead < 0 {
		when = fmt.Sprintf("%3d ms late", -r.Lead.Milliseconds())
	}
	return fmt.Sprintf("%s  #%d %s  from %s  %s", bar.String(), r.Block.Num(), r.Block.ID.Short(), r.Name, when)
}
