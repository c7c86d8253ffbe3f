package control

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	subscriberQueue = 64  // events a subscriber may be behind
	keptEvents      = 256 // of each sort (forwarded and other), for resumption and for status
	recentEvents    = 40  // shown in a status
)

// hub passes the node's events to the subscribers. It never waits for one: who
// is subscriberQueue events behind is dropped.
type hub struct {
	log  hclog.Logger
	boot int64 // tells the event ids of this process from another's

	mu     sync.Mutex // guards what follows; never held over I/O
	seq    uint64
	subs   map[*subscription]struct{}
	blocks []kept // forwarded blocks, oldest first, at most keptEvents
	others []kept // all other events, likewise
}

type kept struct {
	seq   uint64
	event Event
}

// subscription is one reader. Its channel is closed when it is dropped or the
// hub has ended; dropped tells which.
type subscription struct {
	events  chan Event
	dropped bool // written before events is closed
}

func newHub(log hclog.Logger) *hub {
	return &hub{log: log, boot: time.Now().UnixMilli(), subs: map[*subscription]struct{}{}}
}

// run fans events out until the channel closes or ctx ends, then ends all
// subscriptions.
func (h *hub) run(ctx context.Context, events <-chan Event) {
	defer h.end()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return
			}
			h.publish(e)
		case <-ctx.Done():
			return
		}
	}
}

func (h *hub) publish(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	e.ID = strconv.FormatInt(h.boot, 10) + "-" + strconv.FormatUint(h.seq, 10)
	if e.Time.IsZero() {
		e.Time = time.Now().UTC()
	}
	if e.Kind == KindForwarded {
		h.blocks = keep(h.blocks, kept{h.seq, e})
	} else {
		h.others = keep(h.others, kept{h.seq, e})
	}
	for sub := range h.subs {
		select {
		case sub.events <- e:
		default:
			sub.dropped = true
			close(sub.events)
			delete(h.subs, sub)
			h.log.Warn("dropped an event subscriber that reads too slowly", "behind", subscriberQueue)
		}
	}
}

func keep(list []kept, k kept) []kept {
	if len(list) == keptEvents {
		copy(list, list[1:])
		list = list[:keptEvents-1]
	}
	return append(list, k)
}

// subscribe returns a subscription and the kept events after the one named by
// lastID, oldest first. An id of another process, or none, replays nothing.
func (h *hub) subscribe(lastID string) (*subscription, []Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	sub := &subscription{events: make(chan Event, subscriberQueue)}
	h.subs[sub] = struct{}{}
	boot, seq, ok := parseEventID(lastID)
	if !ok || boot != h.boot {
		return sub, nil
	}
	return sub, h.after(seq)
}

// after merges the two lists from seq on.
func (h *hub) after(seq uint64) []Event {
	var missed []Event
	b, o := h.blocks, h.others
	for len(b) > 0 || len(o) > 0 {
		next := &b
		if len(b) == 0 || (len(o) > 0 && o[0].seq < b[0].seq) {
			next = &o
		}
		if (*next)[0].seq > seq {
			missed = append(missed, (*next)[0].event)
		}
		*next = (*next)[1:]
	}
	return missed
}

func (h *hub) unsubscribe(sub *subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subs, sub)
}

// recent returns up to n events that are not forwarded blocks, newest first.
func (h *hub) recent(n int) []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	n = min(n, len(h.others))
	events := make([]Event, 0, n)
	for i := range n {
		events = append(events, h.others[len(h.others)-1-i].event)
	}
	return events
}

func (h *hub) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for sub := range h.subs {
		close(sub.events)
		delete(h.subs, sub)
	}
}

// parseEventID splits "boot-sequence".
func parseEventID(id string) (boot int64, seq uint64, ok bool) {
	b, q, found := strings.Cut(id, "-")
	if !found {
		return 0, 0, false
	}
	boot, err := strconv.ParseInt(b, 10, 64)
	if err != nil || boot < 0 {
		return 0, 0, false
	}
	seq, err = strconv.ParseUint(q, 10, 64)
	return boot, seq, err == nil
}
