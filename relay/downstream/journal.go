package downstream

import (
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	// journalWindow is the time in which a kind of event gets a limited number of lines.
	journalWindow = time.Second
	// refusalLines and passageLines are those numbers: a flood of strangers is one line a second with a count, while
	// the comings and goings of replicas are rare enough to be written out.
	refusalLines = 1
	passageLines = 10
)

// journal writes events to the log, and those beyond the limit of their kind as a count at the end of the window. Kinds
// are constants, so it does not grow.
type journal struct {
	log   hclog.Logger
	mu    sync.Mutex
	kinds map[kind]*window
}

type kind struct {
	level  hclog.Level
	text   string
	reason string
}

type window struct {
	lines   int // written in this window
	skipped int
	last    []any // arguments of the last one skipped
}

func newJournal(log hclog.Logger) *journal {
	return &journal{log: log, kinds: make(map[kind]*window)}
}

// note writes the event, or counts it when its kind has had its lines for this window.
func (j *journal) note(k kind, lines int, args ...any) {
	j.mu.Lock()
	w := j.kinds[k]
	if w == nil {
		w = new(window)
		j.kinds[k] = w
	}
	if w.lines >= lines {
		w.skipped++
		w.last = args
		j.mu.Unlock()
		return
	}
	w.lines++
	j.mu.Unlock()
	j.write(k, args)
}

// turn ends the window: it writes the counts and lets events through again.
func (j *journal) turn() {
	type line struct {
		kind kind
		args []any
	}
	var lines []line
	j.mu.Lock()
	for k, w := range j.kinds {
		switch {
		case w.skipped > 0:
			lines = append(lines, line{k, append(w.last, "more", w.skipped)})
			w.skipped, w.last = 0, nil
			w.lines = 1 // the line about to be written
		default:
			delete(j.kinds, k)
		}
	}
	j.mu.Unlock()
	for _, l := range lines {
		j.write(l.kind, l.args)
	}
}

func (j *journal) write(k kind, args []any) {
	if k.reason != "" {
		args = append([]any{"reason", k.reason}, args...)
	}
	j.log.Log(k.level, k.text, args...)
}
