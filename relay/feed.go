package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// The feed is what two relays say to each other: p2p frames as they are
// (blocks, votes, transactions, time), and between them the messages of this
// file, which use type bytes that nodeos does not have. Both ends are members
// of one group, authenticated by the stream's certificates; a malformed message
// ends the stream. What a message has beyond the fields here, a flag or a type that
// is not known, is a later release's, which speaks to this one during a rolling
// upgrade: it is passed over, so a field can be added at the end.
const (
	// typeHello: the follower's first message: the tip of its ring.
	typeHello wire.Type = 64 + iota
	// typeAttach: a replica is connected to the follower, or its state changed.
	typeAttach
	// typeDetach: it no longer is.
	typeDetach
	// typeOrigin: who signed a block; it comes before the block itself, or
	// alone when the other side has the block.
	typeOrigin
	// typeOurs: the next vote is by a node of ours.
	typeOurs
	// typeRoster: the leader's word on who is active and whom to feed.
	typeRoster
	// typeNote: what a relay tells about itself, for status displays.
	typeNote
)

// feedVersion is announced in hello; another one is refused.
const feedVersion = 1

// errFeed is returned for a malformed message on a feed.
var errFeed = errors.New("malformed message of another relay")

const (
	flagWatched byte = 1 << iota
	flagEmitted
	flagObserver
	flagFit
	flagNetwork
	flagBody
	flagSilent
	flagSevered
)

// origin says where a block comes from: who signed it, or that the network has
// it. With body the block itself is the next block on the stream; without, the
// other side has it.
type origin struct {
	block, source               wire.ID // source is zero for a block of the network's
	watched, emitted, net, body bool
}

func appendOrigin(b []byte, o origin) []byte {
	b = append(b, o.block[:]...)
	b = append(b, o.source[:]...)
	return append(b, flags(o.watched, flagWatched)|flags(o.emitted, flagEmitted)|flags(o.net, flagNetwork)|flags(o.body, flagBody))
}

func parseOrigin(b []byte) (o origin, err error) {
	if len(b) < 65 {
		return o, fmt.Errorf("origin of %d bytes: %w", len(b), errFeed)
	}
	copy(o.block[:], b)
	copy(o.source[:], b[32:])
	o.watched, o.emitted = b[64]&flagWatched != 0, b[64]&flagEmitted != 0
	o.net, o.body = b[64]&flagNetwork != 0, b[64]&flagBody != 0
	return o, nil
}

func flags(set bool, flag byte) byte {
	if set {
		return flag
	}
	return 0
}

func appendHello(b []byte, tip wire.ID) []byte {
	b = append(b, feedVersion)
	return append(b, tip[:]...)
}

func parseHello(b []byte) (tip wire.ID, err error) {
	if len(b) < 33 {
		return tip, fmt.Errorf("hello of %d bytes: %w", len(b), errFeed)
	}
	if b[0] != feedVersion {
		return tip, fmt.Errorf("feed version %d, want %d: %w", b[0], feedVersion, errFeed)
	}
	copy(tip[:], b[1:])
	return tip, nil
}

// attach is a replica connected to a follower.
type attach struct {
	id            wire.ID
	chain         wire.ID // as its handshake says: the leader may know none yet
	observer, fit bool
	silent        bool // it answers nothing there
	name          string
}

// maxName bounds a replica's name in an attach, in bytes.
const maxName = 255

func appendAttach(b []byte, a attach) []byte {
	name := a.name[:min(len(a.name), maxName)]
	b = append(b, a.id[:]...)
	b = append(b, a.chain[:]...)
	b = append(b, flags(a.observer, flagObserver)|flags(a.fit, flagFit)|flags(a.silent, flagSilent), byte(len(name)))
	return append(b, name...)
}

func parseAttach(b []byte) (a attach, err error) {
	const fixed = 32 + 32 + 2
	if len(b) < fixed || len(b) < fixed+int(b[fixed-1]) {
		return a, fmt.Errorf("attach of %d bytes: %w", len(b), errFeed)
	}
	copy(a.id[:], b)
	copy(a.chain[:], b[32:])
	a.observer, a.fit, a.silent = b[64]&flagObserver != 0, b[64]&flagFit != 0, b[64]&flagSilent != 0
	a.name = string(b[fixed : fixed+int(b[fixed-1])])
	return a, nil
}

// appendNote encodes a note: its author's name, its age in ms, the sender's
// clock in ns, its body.
func appendNote(b []byte, n Note, now time.Time) []byte {
	name := n.From[:min(len(n.From), maxName)]
	age := min((n.Age + now.Sub(n.At)).Milliseconds(), 1<<31)
	b = append(b, byte(len(name)))
	b = append(b, name...)
	b = binary.LittleEndian.AppendUint32(b, uint32(age))
	b = binary.LittleEndian.AppendUint64(b, uint64(now.UnixNano()))
	return append(b, n.Body[:min(len(n.Body), MaxNote)]...)
}

func parseNote(b []byte) (n Note, err error) {
	if len(b) < 1 || len(b) < 1+int(b[0])+12 || len(b) > 1+maxName+12+MaxNote {
		return n, fmt.Errorf("note of %d bytes: %w", len(b), errFeed)
	}
	name := 1 + int(b[0])
	n.From = string(b[1:name])
	n.Age = time.Duration(binary.LittleEndian.Uint32(b[name:])) * time.Millisecond
	n.sent = time.Unix(0, int64(binary.LittleEndian.Uint64(b[name+4:])))
	n.Body = append([]byte(nil), b[name+12:]...)
	return n, nil
}

// detach is a replica that is no longer connected to a follower.
type detach struct {
	id      wire.ID
	severed bool // it has not hung up: the follower ended the connection, or its host is gone
}

func appendDetach(b []byte, d detach) []byte {
	return append(append(b, d.id[:]...), flags(d.severed, flagSevered))
}

// parseDetach takes one without flags, as the first release sends it, for a replica that has hung up.
func parseDetach(b []byte) (d detach, err error) {
	d.id, err = parseNodeID(b)
	d.severed = len(b) > len(d.id) && b[len(d.id)]&flagSevered != 0
	return d, err
}

func parseNodeID(b []byte) (id wire.ID, err error) {
	if len(b) < 32 {
		return id, fmt.Errorf("node id of %d bytes: %w", len(b), errFeed)
	}
	copy(id[:], b)
	return id, nil
}

// roster is the leader's word to one follower.
type roster struct {
	term   uint64
	active wire.ID
	lib    uint32
	ups    uint8     // connected upstreams of the leader
	feed   []wire.ID // replicas of the follower that it is to feed
}

// maxRoster bounds the replicas in a roster.
const maxRoster = 1024

func appendRoster(b []byte, r roster) []byte {
	feed := r.feed[:min(len(r.feed), maxRoster)]
	b = binary.LittleEndian.AppendUint64(b, r.term)
	b = append(b, r.active[:]...)
	b = binary.LittleEndian.AppendUint32(b, r.lib)
	b = append(b, r.ups)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(feed)))
	for _, id := range feed {
		b = append(b, id[:]...)
	}
	return b
}

func parseRoster(b []byte) (r roster, err error) {
	const fixed = 8 + 32 + 4 + 1 + 2
	if len(b) < fixed {
		return r, fmt.Errorf("roster of %d bytes: %w", len(b), errFeed)
	}
	r.term = binary.LittleEndian.Uint64(b)
	copy(r.active[:], b[8:])
	r.lib = binary.LittleEndian.Uint32(b[40:])
	r.ups = b[44]
	n := int(binary.LittleEndian.Uint16(b[45:]))
	if n > maxRoster || len(b) < fixed+32*n {
		return r, fmt.Errorf("roster of %d replicas in %d bytes: %w", n, len(b), errFeed)
	}
	r.feed = make([]wire.ID, n)
	for i := range r.feed {
		copy(r.feed[i][:], b[fixed+32*i:])
	}
	return r, nil
}
