package relay

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/dedup"
	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/downstream"
	"github.com/thinrelay/thinrelay/relay/gate"
	"github.com/thinrelay/thinrelay/relay/quarantine"
	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	// inboxUrgent bounds the events waiting for the hub: blocks, votes,
	// control. A full inbox makes readers wait, and so their peers.
	inboxUrgent = 1024
	// inboxBulk and inboxBytes bound the transactions waiting for the hub; more are
	// dropped.
	inboxBulk  = 4096
	inboxBytes = 64 << 20
	// inARow is how many urgent events are handled before all else has a chance: where a
	// peer sends more than the hub keeps up with, there is always one more.
	inARow = 16
	// recordBacklog bounds the records waiting for the observer.
	recordBacklog = 4096
	// tickParts is how often the hub looks at the clock: a 20th of a slot.
	tickParts = 20
)

// hub owns all state of the node. Only who has the turn touches the fields below
// the line; everybody else speaks to it through the channels above it. The turn
// is its goroutine's (run), but while that sleeps and no event waits, the reader
// of a replica may take it to handle a block at once (see handleNow).
type hub struct {
	turn   sync.Mutex
	queued atomic.Int64 // urgent events posted and not yet handled
	bulky  atomic.Int64 // bytes of the frames in bulk

	urgent  chan event
	bulk    chan event
	calls   chan func()
	applied chan struct{}
	records chan Record

	mu        sync.Mutex // guards newest alone, and is never held over anything
	newest    fsm.State
	hasNewest bool

	// ---
	cfg   Config
	log   hclog.Logger
	clock Clock

	node *Node

	ring    *ring.Ring
	peers   *ring.Registry
	gate    *gate.Gate
	dir     *director.Director
	sched   *director.Schedule
	votes   *votes
	trx     *dedup.Window[[32]byte]
	round   rounds
	refused map[wish]bool // see refuse
	aside   *quarantine.Quarantine
	rivals  map[wire.ID]rival
	lead    *leadership
	spare   spare
	headID  wire.ID // see head
	seq     uint64  // ordinal of the last block that became known
	marked  bool    // a state has been applied
	known   uint32  // the highest block that was credible, or all that there was; see crowdsOut

	replicas   map[*downstream.Replica]*replica
	replicaSet []*replica
	ups        map[*upstream.Peer]*upPeer
	upSet      []*upPeer
	links      map[*Link]*link
	linkSet    []*link
	sources    map[wire.ID]*source
	leader     *link  // our link to the leader, while we follow
	heardTerm  uint64 // of the last roster
	heardLIB   uint32 // the last irreversible block, as the leader or an upstream told

	ended     time.Time // when this relay last stopped leading
	successor time.Time // when a later leader was first seen to have an upstream

	moved   time.Time // when a block last became public
	theirs  time.Time // when one did last that the network has
	back    time.Time // when the first of the upstreams that are connected came
	strayed time.Time // when one of the network last did not
	adrift  time.Time // when the first one of those did not that have come since theirs, one after another
	beside  time.Time // when one of the network last lay beside the span of the ring

	doubted  time.Time         // since when the ring is in dispute; see disputed
	opposed  time.Time         // when another upstream than the tip's last told what does not link to it
	opponent quarantine.Teller // which one
	shunned  quarantine.Teller // the upstream that is not to begin an empty ring; 0: none

	ticked    time.Time     // the last tick
	overslept time.Time     // when it was last seen that this process has stood still, see endOverslept
	awake     time.Duration // for how long the clock has been looked at; see blink

	notes   map[string]Note
	ownNote []byte
	noted   time.Time // when notes were last spread

	scratch     []*ring.Entry
	buf         []byte
	rotated     time.Time
	lostRecords uint64
}

func newHub(cfg Config) *hub {
	r := ring.New(cfg.RingBlocks, cfg.RingBytes)
	h := &hub{
		urgent:  make(chan event, inboxUrgent),
		bulk:    make(chan event, inboxBulk),
		calls:   make(chan func()),
		applied: make(chan struct{}, 1),
		records: make(chan Record, recordBacklog),

		cfg:   cfg,
		log:   cfg.Logger,
		clock: cfg.Clock,

		ring:     r,
		peers:    ring.NewRegistry(r),
		gate:     gate.New(),
		dir:      director.New(cfg.Prefer),
		sched:    director.NewSchedule(cfg.Producers),
		votes:    newVotes(),
		aside:    quarantine.New(),
		rivals:   make(map[wire.ID]rival),
		trx:      dedup.NewWindow[[32]byte](trxWindow),
		replicas: make(map[*downstream.Replica]*replica),
		ups:      make(map[*upstream.Peer]*upPeer),
		links:    make(map[*Link]*link),
		sources:  make(map[wire.ID]*source),
		notes:    make(map[string]Note),
	}
	h.turn.Lock() // for run
	return h
}

// run handles events until ctx ends. Urgent events go before all else, but for one
// time in inARow. It has the turn from before it begins, and keeps it when it ends.
func (h *hub) run(ctx context.Context) {
	tick := time.NewTicker(h.cfg.SlotLength / tickParts)
	defer tick.Stop()
	defer h.releaseAll()
	h.votes.heard = time.Now() // votes are taken to flow until they are seen not to
	for n := 1; ; n++ {
		if n%inARow != 0 {
			select {
			case e := <-h.urgent:
				h.handleUrgent(&e)
				continue
			case <-h.applied:
				h.onApplied()
				continue
			default:
			}
		}
		h.turn.Unlock()
		select {
		case e := <-h.urgent:
			h.turn.Lock()
			h.handleUrgent(&e)
		case <-h.applied:
			h.turn.Lock()
			h.onApplied()
		case e := <-h.bulk:
			h.turn.Lock()
			h.bulky.Add(-int64(e.frame.Len()))
			h.handle(&e)
		case f := <-h.calls:
			h.turn.Lock()
			f()
		case now := <-tick.C:
			h.turn.Lock()
			h.onTick(now)
		case <-ctx.Done():
			h.turn.Lock()
			return
		}
	}
}

// releaseAll gives back what the hub still holds when it ends.
func (h *hub) releaseAll() {
	for {
		select {
		case e := <-h.urgent:
			e.release()
		case e := <-h.bulk:
			e.release()
		default:
			h.votes.release()
			h.dropRivals(func(wire.ID, rival) bool { return true })
			h.ring.Clear()
			return
		}
	}
}

// call runs f on the hub's goroutine and waits for it. It returns false, f not
// run, when ctx ends first.
func (h *hub) call(ctx context.Context, f func()) bool {
	done := make(chan struct{})
	select {
	case h.calls <- func() { f(); close(done) }:
		<-done
		return true
	case <-ctx.Done():
		return false
	}
}

// tell hands the hub the newest state of the group; it never blocks. States
// in between may be skipped.
func (h *hub) tell(s fsm.State) {
	h.mu.Lock()
	h.newest, h.hasNewest = s, true
	h.mu.Unlock()
	select {
	case h.applied <- struct{}{}:
	default:
	}
}

// onApplied takes the newest state over.
func (h *hub) onApplied() {
	h.mu.Lock()
	s, ok := h.newest, h.hasNewest
	h.hasNewest = false
	h.mu.Unlock()
	if !ok {
		return
	}
	h.gate.Applied(s)
	h.marked = true
	h.decide()
	if h.lead != nil {
		h.pump()
		h.align()
	}
}

// decide marks what the mark names, and its ancestors, as decided: the group
// has agreed on them, so they may be sent to any upstream at any time.
func (h *hub) decide() { h.decideUpTo(h.ring.Get(wire.ID(h.gate.State().Mark.Last))) }

// decideLate is decide for a block that comes after the mark that names it, or a block
// that builds on it: what the mark was moved on by the leader before travels faster
// than the block, and a follower may be the only one to have it.
func (h *hub) decideLate(e *ring.Entry) {
	late := e.Block.ID == wire.ID(h.gate.State().Mark.Last)
	h.ring.At(e.Block.Num()+1, func(child *ring.Entry) bool {
		late = late || child.Decided && child.Block.Previous == e.Block.ID
		return !late
	})
	if late {
		h.decideUpTo(e)
	}
}

func (h *hub) decideUpTo(e *ring.Entry) {
	for ; e != nil && !e.Decided; e = h.ring.Parent(e) {
		e.Decided = true
		if !e.Network {
			e.Emitted = true
			h.publish(e, nil)
		}
	}
}
