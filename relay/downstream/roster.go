package downstream

import (
	"sync"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// roster knows the one live connection of each nodeos.
type roster struct {
	mu     sync.Mutex
	byNode map[wire.ID]*Replica
}

// enter makes r the connection of its node. An older one is closed and waited for until the sink has been told, so that
// nobody sees two at once; if a newer one is there, or comes meanwhile, r has to go.
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
