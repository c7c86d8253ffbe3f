package members

import (
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// The methods below are memberlist's hooks. It calls them with its own locks held and from its packet loop: they must
// not block and not call memberlist.
var (
	_ memberlist.Delegate         = (*Members)(nil)
	_ memberlist.EventDelegate    = (*Members)(nil)
	_ memberlist.PingDelegate     = (*Members)(nil)
	_ memberlist.ConflictDelegate = (*Members)(nil)
)

// NodeMeta implements memberlist.Delegate.
func (m *Members) NodeMeta(limit int) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.meta.Encode(limit)
}

// NotifyMsg implements memberlist.Delegate. No user messages are sent.
func (m *Members) NotifyMsg([]byte) {}

// GetBroadcasts implements memberlist.Delegate.
func (m *Members) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState implements memberlist.Delegate.
func (m *Members) LocalState(bool) []byte {
	if m.cfg.Remember == nil {
		return nil
	}
	return m.cfg.Remember()
}

// MergeRemoteState implements memberlist.Delegate.
func (m *Members) MergeRemoteState(b []byte, _ bool) {
	if m.cfg.Recall != nil && len(b) > 0 {
		m.cfg.Recall(b)
	}
}

// NotifyJoin implements memberlist.EventDelegate.
func (m *Members) NotifyJoin(n *memberlist.Node) {
	if n.Name != m.cfg.Node {
		m.log.Info("member joined", "member", n.Name, "address", n.Address())
	}
	m.set(n, Alive)
}

// NotifyUpdate implements memberlist.EventDelegate.
func (m *Members) NotifyUpdate(n *memberlist.Node) {
	if meta, err := DecodeMeta(n.Meta); err == nil {
		m.log.Debug("member changed", "member", n.Name, "replicas", meta.Replicas, "upstream", meta.UpstreamReachable)
	}
	m.set(n, Alive)
}

// NotifyLeave implements memberlist.EventDelegate.
func (m *Members) NotifyLeave(n *memberlist.Node) {
	state := Gone
	if meta, err := DecodeMeta(n.Meta); err == nil && meta.leaving {
		state = Left
	}
	if n.Name != m.cfg.Node {
		m.log.Info("member "+string(state), "member", n.Name, "address", n.Address())
	}
	m.set(n, state)
}

// NotifyConflict implements memberlist.ConflictDelegate. A member with the same log that is heard from another address has moved, as a
// container does that is connected again: memberlist takes it for the member some ten seconds after the old address was given up.
func (m *Members) NotifyConflict(existing, other *memberlist.Node) {
	log, what, key := m.log.Error, "two relays use one name: give each its own cluster node name", "conflict "
	if id := raftID(existing); id != "" && id == raftID(other) {
		log, what, key = m.log.Warn, "a member is heard from another address: it has moved, or its data_dir was copied", "moved "
	}
	if ok, skipped := m.quiet.Allow(key + existing.Name); ok {
		log(what, "name", existing.Name, "address", existing.Address(), "other", other.Address(), "skipped", skipped)
	}
}

// raftID is the log that a node says it has; empty where it says nothing.
func raftID(n *memberlist.Node) string {
	meta, err := DecodeMeta(n.Meta)
	if err != nil {
		return ""
	}
	return meta.RaftID
}

// AckPayload implements memberlist.PingDelegate.
func (m *Members) AckPayload() []byte { return nil }

// NotifyPingComplete implements memberlist.PingDelegate.
func (m *Members) NotifyPingComplete(other *memberlist.Node, rtt time.Duration, _ []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if member, ok := m.table[other.Name]; ok {
		copy(member.probes[1:], member.probes[:])
		member.probes[0], member.RTT = rtt, rtt
		for _, earlier := range member.probes {
			if earlier > 0 {
				member.RTT = min(member.RTT, earlier)
			}
		}
		m.table[other.Name] = member
	}
}

func (m *Members) set(n *memberlist.Node, state State) {
	meta, err := DecodeMeta(n.Meta)
	if err != nil {
		if ok, skipped := m.quiet.Allow("meta " + n.Name); ok {
			m.log.Warn("cannot read what a member tells: upgrade the older relay", "member", n.Name, "error", err, "skipped", skipped)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	member, known := m.table[n.Name]
	if !known || member.State != state {
		member.Since = time.Now()
	}
	member.Name, member.Addr, member.State, member.Meta = n.Name, addrOf(n), state, meta
	m.table[n.Name] = member
	close(m.changed)
	m.changed = make(chan struct{})
}

func addrOf(n *memberlist.Node) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(n.Addr)
	return netip.AddrPortFrom(ip.Unmap(), n.Port)
}
