package cluster_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/cluster/storage"
	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
)

// layer is a stream layer over a network in memory.
type layer struct {
	net.Listener
	host *memnet.Host
}

func (l layer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return l.host.Dial(ctx, string(addr))
}

// world is a set of members, their network and their disks.
type world struct {
	t       *testing.T
	net     *memnet.Network
	expect  int
	members map[string]*member
	tune    func(*cluster.Config)

	// disksFail: stores may end their members, also a while after a fault was
	// taken back, by a write that was under way.
	disksFail bool

	mu   sync.Mutex
	next map[fsm.State]fsm.State // the one successor every member must agree on
	by   map[fsm.State]string    // and which member was the first to go there
	bad  error                   // the first disagreement

	falls int // how often a member's mark fell
	jumps int // and how often one passed over states, by a snapshot
}

// member is one node with its disk, over all its lives.
type member struct {
	w      *world
	name   string
	medium *storage.Medium
	faults *storage.Faults
	shots  *snapshotFaults
	port   int

	// Of the present life:
	group *cluster.Group
	stop  context.CancelFunc
	done  chan struct{}
	err   error // what Run returned; read it when done is closed

	mu    sync.Mutex
	lead  cluster.Lead // what to do as leader; nil: wait
	calls []call
}

// call is one call of the function given to Run.
type call struct {
	term  uint64
	begun time.Time
	ended time.Time // zero: not yet
	cause error
}

func newWorld(t *testing.T, names ...string) *world {
	w := &world{t: t, net: memnet.New(memnet.WithDelay(time.Millisecond)), expect: len(names), members: map[string]*member{}, next: map[fsm.State]fsm.State{}, by: map[fsm.State]string{}}
	for _, n := range names {
		w.add(n)
	}
	return w
}

// world3 returns three members, started.
func world3(t *testing.T) *world {
	w := newWorld(t, "a", "b", "c")
	w.startAll()
	return w
}

func (w *world) add(name string) *member {
	m := &member{w: w, name: name, port: 8300}
	m.wipe()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.members[name] = m
	return m
}

func (m *member) wipe() {
	m.medium = storage.NewMemory()
	m.faults = &storage.Faults{Backend: m.medium.Backend}
	m.medium.Backend = m.faults
	m.shots = &snapshotFaults{SnapshotStore: m.medium.Snapshots}
	m.medium.Snapshots = m.shots.of()
}

func (w *world) startAll() {
	for _, m := range w.members {
		m.start()
	}
}

func logger() hclog.Logger {
	if os.Getenv("CLUSTER_LOG") == "" {
		return hclog.NewNullLogger()
	}
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Debug})
}

// start begins a life of the member.
func (m *member) start() {
	t := m.w.t
	t.Helper()
	m.end() // the last life may have ended by itself
	store, err := storage.New(m.medium, m.name, storage.Config{WriteDeadline: 500 * time.Millisecond})
	if err != nil {
		t.Fatalf("%s: open store: %v", m.name, err)
	}
	host := m.w.net.Host(m.name)
	ln, err := host.Listen(fmt.Sprintf(":%d", m.port))
	if err != nil {
		t.Fatalf("%s: listen: %v", m.name, err)
	}
	var last fsm.State
	f := fsm.New(func(s fsm.State) {
		m.w.applied(m.name, last, s)
		last = s
	})
	cfg := cluster.Config{
		Node: m.name, Store: store, Layer: layer{ln, host}, Advertise: fmt.Sprintf("%s:%d", m.name, m.port), FSM: f, Expect: m.w.expect,
		Peers: func() []cluster.Peer { return m.w.peers(m.name) }, Logger: logger().Named(m.name),
	}
	if m.w.tune != nil {
		m.w.tune(&cfg)
	}
	g, err := cluster.Open(cfg)
	if err != nil {
		t.Fatalf("%s: open group: %v", m.name, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	m.w.mu.Lock()
	m.group, m.stop, m.done = g, stop, make(chan struct{})
	m.w.mu.Unlock()
	go func(done chan struct{}) {
		m.err = g.Run(ctx, m.leads)
		close(done)
	}(m.done)
}

// leads records the call and does what the test wants done.
func (m *member) leads(ctx context.Context, term uint64) error {
	m.mu.Lock()
	if n := len(m.calls); n > 0 && m.calls[n-1].ended.IsZero() {
		m.w.disagree(fmt.Errorf("%s leads twice at once", m.name))
	}
	m.calls = append(m.calls, call{term: term, begun: time.Now()})
	at, lead := len(m.calls)-1, m.lead
	m.mu.Unlock()
	var err error
	if lead != nil {
		err = lead(ctx, term)
	} else {
		<-ctx.Done()
	}
	m.mu.Lock()
	m.calls[at].ended, m.calls[at].cause = time.Now(), context.Cause(ctx)
	m.mu.Unlock()
	return err
}

func (m *member) onLead(f cluster.Lead) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lead = f
}

func (m *member) history() []call {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

// alive says whether the member's present life goes on.
func (m *member) alive() bool {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	if m.done == nil {
		return false
	}
	select {
	case <-m.done:
		return false
	default:
		return true
	}
}

// quit ends the member's life in order.
func (m *member) quit() error {
	m.stop()
	<-m.done
	return m.err
}

// end lets nothing more of the present life onto the disk, however slow that is.
func (m *member) end() {
	m.faults = m.faults.Kill()
	m.medium.Backend = m.faults
	m.shots.end()
	m.medium.Snapshots = m.shots.of()
}

// kill ends the member's life such that the others see nothing but silence or a reset.
func (m *member) kill() {
	m.w.net.Kill(m.name)
	m.end() // nor does it write any more
	m.stop()
	<-m.done
}

// peers is the gossip: what the living, reachable or not, announce.
func (w *world) peers(self string) []cluster.Peer {
	var ps []cluster.Peer
	w.mu.Lock()
	members := maps.Clone(w.members)
	w.mu.Unlock()
	for name, m := range members {
		if name != self && m.alive() {
			w.mu.Lock()
			g := m.group
			w.mu.Unlock()
			ps = append(ps, g.Announce())
		}
	}
	return ps
}

// applied checks that all members go through the same states, whatever their lives, and never down.
func (w *world) applied(name string, from, to fsm.State) {
	if to.Mark.Height() < from.Mark.Height() {
		w.mu.Lock()
		w.falls++
		w.mu.Unlock()
		w.disagree(fmt.Errorf("%s fell from %v to %v", name, from, to))
	}
	if to == from {
		return // the mark was set to what it was
	}
	w.mu.Lock()
	known, ok := w.next[from]
	if !ok {
		w.next[from], w.by[from] = to, name
	}
	by := w.by[from]
	jumps := ok && known != to && w.leads(known, to)
	if jumps {
		w.jumps++
	}
	w.mu.Unlock()
	if ok && known != to && !jumps {
		w.disagree(fmt.Errorf("%s went from %v to %v, %s to %v", name, from, to, by, known))
	}
}

// leads says whether the states that members agree on lead from one to another: a snapshot passes over those in between. w.mu is held.
func (w *world) leads(from, to fsm.State) bool {
	for range len(w.next) {
		next, ok := w.next[from]
		if !ok || next == to {
			return ok
		}
		from = next
	}
	return false
}

func (w *world) disagree(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.bad == nil {
		w.bad = err
	}
}

// reached says whether the states all members agree on go through s.
func (w *world) reached(m fsm.Mark) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.next {
		if s.Mark == m {
			return true
		}
	}
	return false
}

// close ends all and reports what went wrong.
func (w *world) close() {
	w.t.Helper()
	for _, m := range w.members {
		if m.alive() {
			if err := m.quit(); err != nil && !(w.disksFail && errors.Is(err, storage.ErrFailed)) {
				w.t.Errorf("%s: run: %v", m.name, err)
			}
		}
	}
	w.net.Close()
	if w.bad != nil {
		w.t.Error(w.bad)
	}
}

// until waits, in fake time, for a condition.
func (w *world) until(what string, limit time.Duration, ok func() bool) time.Duration {
	w.t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > limit {
			for _, m := range w.members {
				if m.group != nil {
					w.t.Logf("%s: alive %v %+v", m.name, m.alive(), m.group.Status())
				}
			}
			w.t.Fatalf("%s: not within %s", what, limit)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(start)
}

// leader waits until exactly one living member leads, past its barrier, and returns it.
func (w *world) leader() *member {
	w.t.Helper()
	var leader *member
	w.until("a leader", 20*time.Second, func() bool {
		leader = nil
		for _, m := range w.members {
			if m.alive() && !m.group.Status().LeadingSince.IsZero() {
				if leader != nil {
					return false
				}
				leader = m
			}
		}
		return leader != nil
	})
	synctest.Wait()
	return leader
}

// followers returns the living members other than m, by name.
func (w *world) followers(leader *member) []*member {
	var fs []*member
	for _, m := range w.members {
		if m != leader && m.alive() {
			fs = append(fs, m)
		}
	}
	slices.SortFunc(fs, func(a, b *member) int { return int(a.name[0]) - int(b.name[0]) })
	return fs
}

// advance proposes the next height.
func (m *member) advance(ctx context.Context) (fsm.Mark, error) {
	s := m.group.State()
	to := mark(s.Mark.Height()+1, 0)
	return to, m.group.Propose(ctx, fsm.Transition{From: s.Mark, To: to, Term: m.group.Status().Term})
}

func (m *member) mustAdvance() fsm.Mark {
	m.w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	to, err := m.advance(ctx)
	if err != nil {
		m.w.t.Fatalf("%s: %v", m.name, err)
	}
	return to
}

// agreed waits until all living members hold the mark.
func (w *world) agreed(to fsm.Mark) {
	w.t.Helper()
	w.until(fmt.Sprintf("all at %v", to), 10*time.Second, func() bool {
		for _, m := range w.members {
			if m.alive() && m.group.State().Mark != to {
				return false
			}
		}
		return true
	})
}

func mark(height uint32, fork byte) fsm.Mark {
	var id fsm.BlockID
	binary.BigEndian.PutUint32(id[:], height)
	id[4] = fork
	return fsm.Mark{Last: id, Slot: height, Source: fsm.NodeID{1}}
}

// member3 waits until the configuration has these voters, and nothing else.
func (w *world) voters(m *member, names ...string) {
	w.t.Helper()
	w.until(fmt.Sprintf("voters %v", names), 20*time.Second, func() bool {
		var got []string
		for _, x := range m.group.Status().Members {
			if !x.Voter {
				return false
			}
			got = append(got, x.Name)
		}
		slices.Sort(got)
		return slices.Equal(got, names)
	})
}

func mustErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("error: got %v, want %v", got, want)
	}
}
