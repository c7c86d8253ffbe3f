package downstream

import (
	"sync"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	// lately is since when a connection must have answered to be asked whether it lives: three time messages of ours.
	lately = 10 * time.Second
	// lifeSign is how long that answer may take, and lifeLook how often it is looked for.
	lifeSign = time.Second
	lifeLook = 10 * time.Millisecond
)

// roster knows the one live connection of each nodeos.
type roster struct {
	mu     sync.Mutex
	byNode map[wire.ID]*Replica
}

// enter makes r the connection of its node. An older one is closed and waited for until the sink has been told, so that
// nobody sees two at once; if a newer one is there, or comes meanwhile, r has to go. So it has when the older one lives:
// a nodeos that has this relay in its p2p-peer-address by two names dials each of them again for as long as it runs
// (net_plugin.cpp:4979-4998), and each would end the other, once a second.
func (s *roster) enter(r *Replica) error {
	for {
		s.mu.Lock()
		other := s.byNode[r.NodeID()]
		if other == nil {
			s.byNode[r.NodeID()] = r
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		if other.serial > r.serial {
			return ErrReplaced
		}
		if other.lives(r.conn.Done()) {
			return ErrTwice
		}
		other.conn.Close(ErrReplaced)
		select {
		case <-other.gone:
		case <-r.conn.Done():
			return r.conn.Cause()
		}
	}
}

// leave takes r out and lets a successor in. It is called after ReplicaDown.
func (s *roster) leave(r *Replica) {
	s.mu.Lock()
	delete(s.byNode, r.NodeID())
	s.mu.Unlock()
	close(r.gone)
}

// lives asks the replica, if it has answered lately, and reports whether it still does. A nodeos that dials again because
// its connection has ended answers nothing on that, and neither does one whose line is broken.
func (r *Replica) lives(stop <-chan struct{}) bool {
	if last := r.conn.Answered(); last.At.IsZero() || time.Since(last.At) > lately {
		return false
	}
	asked := time.Now()
	r.conn.Ask()
	look := time.NewTicker(lifeLook)
	defer look.Stop()
	for time.Since(asked) < lifeSign {
		select {
		case <-look.C:
		case <-r.conn.Done():
			return false
		case <-stop:
			return false
		}
		if !r.conn.Answered().Asked.Before(asked) {
			return true
		}
	}
	return false
}
