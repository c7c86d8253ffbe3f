package relay

import (
	"context"
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	// noteEvery is how often a relay's note is passed on.
	noteEvery = 500 * time.Millisecond
	// MaxNote bounds the body of a note, in bytes: what is beyond is cut off.
	MaxNote = 16 << 10
	// maxNotes bounds the relays whose notes are kept.
	maxNotes = 64
)

// Note is what a relay tells the others about itself, in bytes that only the
// callers of Share and Notes understand. Followers tell the leader, and the
// leader everyone, twice a second.
type Note struct {
	From string
	Body []byte
	// At is when it arrived here; Age how old it was then, by the clock of
	// whoever passed it on.
	At  time.Time
	Age time.Duration
	// RTT is the round trip of the link it came over; zero until measured.
	RTT time.Duration
	// Clock is the sender's clock minus ours, to within half of RTT; of a note
	// that came straight from its author.
	Clock time.Duration
	// Direct: its author sent it.
	Direct bool
	// sent is the sender's clock when the note was sent on.
	sent time.Time
}

// Share sets this relay's note.
func (n *Node) Share(ctx context.Context, body []byte) {
	n.hub.call(ctx, func() { n.hub.ownNote = body })
}

// Notes returns the latest notes of the other relays.
func (n *Node) Notes(ctx context.Context) []Note {
	var list []Note
	n.hub.call(ctx, func() {
		for _, note := range n.hub.notes {
			list = append(list, note)
		}
	})
	return list
}

// spreadNotes sends this relay's note to the leader, or, from the leader,
// everybody's to everybody.
func (h *hub) spreadNotes(now time.Time) {
	if now.Sub(h.noted) < noteEvery || h.ownNote == nil {
		return
	}
	h.noted = now
	own := Note{From: h.cfg.Name, Body: h.ownNote, At: now}
	if h.leader != nil {
		h.sendNote(h.leader, own, now)
	}
	for _, k := range h.linkSet {
		h.sendNote(k, own, now)
		for _, note := range h.notes {
			if note.From != k.name {
				h.sendNote(k, note, now)
			}
		}
	}
}

// sendNote sends one note; one that finds no room is not missed.
func (h *hub) sendNote(k *link, n Note, now time.Time) {
	body := appendNote(h.buf[:0], n, now)
	h.buf = body[:0]
	f := wire.RawFrame(typeNote, body)
	k.conn.Send(conn.Bulk, f)
	f.Release()
}

// onNote keeps a note that came over a link.
func (h *hub) onNote(k *link, body []byte) error {
	n, err := parseNote(body)
	if err != nil {
		return err
	}
	if n.From == h.cfg.Name || (!k.l.up && n.From != k.name) {
		return nil // our own, come back; or a follower that speaks for another
	}
	if _, known := h.notes[n.From]; !known && len(h.notes) >= maxNotes {
		return nil
	}
	n.At, n.RTT = time.Now(), k.conn.RTT()
	n.Direct = n.From == k.name
	n.Clock = n.sent.Add(n.RTT / 2).Sub(n.At)
	h.notes[n.From] = n
	return nil
}
