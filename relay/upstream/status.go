package upstream

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// State is where a configured peer stands.
type State uint8

const (
	// Stopped: Run is not running.
	Stopped State = iota
	// Dialing: waiting for the TCP connection.
	Dialing
	// Handshaking: connected, waiting for the peer's handshake.
	Handshaking
	// Connected: in use.
	Connected
	// BackingOff: waiting before the next attempt.
	BackingOff
)

// String names the state for status output.
func (s State) String() string {
	switch s {
	case Stopped:
		return "stopped"
	case Dialing:
		return "dialing"
	case Handshaking:
		return "handshaking"
	case Connected:
		return "connected"
	case BackingOff:
		return "backing off"
	}
	return "unknown"
}

// PeerStatus is what an operator wants to know of one configured peer.
type PeerStatus struct {
	Addr      string        // as configured
	State     State         //
	Since     time.Time     // when State began
	LastError string        // why the last connection ended; empty when there was none
	Alarm     bool          // the last error will not go away by itself
	Retry     time.Time     // next attempt, while backing off
	Head      wire.ID       // what the peer last told, while connected
	Root      wire.ID       //
	Height    uint32        // the highest block number it told or sent
	Version   int           // its protocol version
	Agent     string        // its agent name, printable
	RTT       time.Duration // zero until measured
	Single    bool          // it has refused a second connection from us lately
}

// Statuses returns the status of every configured peer, in the order of Config.Peers.
func (d *Dialer) Statuses() []PeerStatus {
	all := make([]PeerStatus, len(d.targets))
	for i, t := range d.targets {
		all[i] = t.report()
	}
	return all
}

// report is the status of one target, with what only its live connection knows.
func (t *target) report() PeerStatus {
	t.mu.Lock()
	s, p := t.status, t.peer
	s.Single = time.Now().Before(t.singleUntil)
	t.mu.Unlock()
	if p != nil {
		s.Head, s.Root, s.Height = p.Head(), p.Root(), p.Height()
		s.Version, s.Agent, s.RTT = p.Version(), p.Agent(), p.Conn().RTT()
	}
	return s
}

// enter changes the state; the error of the last connection stays until the next one ends.
func (t *target) enter(s State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status.State, t.status.Since, t.status.Retry = s, time.Now(), time.Time{}
}

// failed records why a connection ended and when the next attempt is due.
func (t *target) failed(err error, c cause, retry time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.status.State, t.status.Since, t.status.Retry = BackingOff, now, now.Add(retry)
	t.status.LastError, t.status.Alarm = err.Error(), c.alarm
}
