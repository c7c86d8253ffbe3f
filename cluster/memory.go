package cluster

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Raft rests on logs that forget nothing. One that was put back from a backup has forgotten entries that it promised to keep, and
// votes; and with it a majority may be had that knows nothing of what was decided. So members remember how far each other's logs have got,
// tell each other ([Group.Memory], [Group.Recall]), and one that hears of itself what it does not know stops ([ErrRestored]).
//
// It is a net, not a proof: what a log got in the seconds before its last end, and what nobody who is there remembers, is not noticed.

// maxMemory bounds what is read of another member's memory, in bytes.
const maxMemory = 64 << 10

// position is how far a log has got.
type position struct {
	// LogTerm and Index are those of the last entry.
	LogTerm uint64 `json:"log_term"`
	Index   uint64 `json:"index"`
	// Term is the term the member was in. Of another one's log it says nothing that LogTerm does not, see forgotten.
	Term uint64 `json:"term"`
}

// beyond says whether p is further than o: its last entry is of a later term, or later in the same.
func (p position) beyond(o position) bool {
	return p.LogTerm > o.LogTerm || p.LogTerm == o.LogTerm && p.Index > o.Index
}

// forgotten says whether a log that once was at p has lost something, now that it is at o. One that a leader of a later term has cut
// has not: it knows that term, which is later than that of the entry. The term the member was in at p is no measure: a log that was cut,
// and has nothing in the place of what was cut yet, may have been told as it was before, in the term of who cut it.
func (p position) forgotten(o position) bool { return p.beyond(o) && p.LogTerm >= o.Term }

// memory is what a member knows of how far logs have got.
type memory struct {
	self     string
	heard    chan struct{} // closed when another member has told what it remembers
	restored chan struct{} // closed when that shows that our log has forgotten something

	mu       sync.Mutex
	began    position // where our log was when this process began
	had      position // the furthest that it has been in this process
	said     position // and the furthest that others have been told, or might have been
	listened bool     // one of them has told what it knows of it, or there was none
	known    map[string]position
	err      error
}

func newMemory(self string, had position) *memory {
	return &memory{
		self: self, heard: make(chan struct{}), restored: make(chan struct{}), began: had, had: had, said: had, listened: had.Index == 0,
		known: make(map[string]position),
	}
}

// reached notes where our log is.
func (m *memory) reached(p position) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.had.beyond(p) {
		m.had = p
	}
}

// tell encodes what is known, our own log included: as it was when this process began, until somebody has told of it. What they know that is further is
// from before then, also where they come to tell it when calls have filled the log again.
func (m *memory) tell() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	own := m.began
	if m.listened {
		own = m.had
	}
	if own.beyond(m.said) {
		m.said = own
	}
	if own.Index > 0 {
		m.known[m.self] = own
	}
	for {
		b, err := json.Marshal(m.known)
		if err != nil {
			return nil
		}
		if len(b) <= maxMemory {
			return b
		}
		m.forget()
	}
}

// forget drops the quarter of the logs that got least far: each disk that is lost leaves one.
func (m *memory) forget() {
	ids := slices.SortedFunc(maps.Keys(m.known), func(a, b string) int {
		p, o := m.known[a], m.known[b]
		return cmp.Or(cmp.Compare(p.LogTerm, o.LogTerm), cmp.Compare(p.Index, o.Index))
	})
	for _, id := range ids[:(len(ids)+3)/4] {
		delete(m.known, id)
	}
}

// recall takes what another member remembers.
func (m *memory) recall(b []byte) error {
	var told map[string]position
	if len(b) > maxMemory {
		return fmt.Errorf("recall %d bytes: too many", len(b))
	}
	if err := json.Unmarshal(b, &told); err != nil {
		return fmt.Errorf("recall: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, p := range told {
		if p.beyond(m.known[id]) {
			m.known[id] = p
		}
	}
	if p := told[m.self]; m.err == nil && p.beyond(m.said) && p.forgotten(m.began) {
		m.err = fmt.Errorf("%s was at entry %d of term %d, and began at %d of term %d: %w", m.self, p.Index, p.LogTerm, m.began.Index, m.began.LogTerm, ErrRestored)
		close(m.restored)
	}
	if _, ours := told[m.self]; ours {
		m.listened = true
	}
	select {
	case <-m.heard:
	default:
		close(m.heard)
	}
	return nil
}

func (m *memory) failure() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// await waits until another member has told what it remembers, but not long: there may be none.
func (m *memory) await(limit time.Duration, done <-chan struct{}) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-m.heard:
	case <-timer.C:
	case <-done:
	}
	return m.failure()
}

// Memory returns what this member knows of how far each member's log has got, for the others' [Group.Recall]; nil when it knows nothing.
func (g *Group) Memory() []byte {
	if n := g.running(); n != nil {
		if p, err := n.position(); err == nil {
			g.memory.reached(p)
		}
	}
	return g.memory.tell()
}

// Recall takes what another member's Memory has returned. If that shows that this member's log has forgotten something, Run ends with
// [ErrRestored].
func (g *Group) Recall(b []byte) error { return g.memory.recall(b) }
