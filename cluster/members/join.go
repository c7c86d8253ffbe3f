package members

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// join looks for missing members until ctx ends: often at first, then every half minute.
func (m *Members) join(ctx context.Context) {
	pause := firstJoinPause
	for {
		missing := m.missing(ctx)
		if len(missing) == 0 {
			pause = firstJoinPause
		}
		var tries sync.WaitGroup
		for _, address := range missing {
			tries.Go(func() { m.try(ctx, address) })
		}
		tries.Wait()
		wait := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-wait.C:
		}
		if len(missing) > 0 {
			pause = min(2*pause, lastJoinPause)
		}
	}
}

// try joins by one address. Where a host takes connections and says nothing that lasts for [streamTimeout], in which others are joined: they
// may know that our log is an old copy.
func (m *Members) try(ctx context.Context, address netip.AddrPort) {
	if _, err := m.list.Join([]string{address.String()}); err != nil && ctx.Err() == nil {
		if ok, skipped := m.quiet.Allow("join " + address.String()); ok {
			m.log.Warn("cannot reach a member, trying on", "address", address, "error", first(err), "hint", hint(err.Error()), "skipped", skipped)
		}
	}
}

// first is the only error of memberlist's multi-line list of one.
func first(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// missing returns the addresses to try: those of members that are gone, and the configured ones while fewer members are
// there than are configured.
func (m *Members) missing(ctx context.Context) []netip.AddrPort {
	alive := 0
	at := make(map[netip.AddrPort]bool) // true: nobody is there
	there := make(map[netip.AddrPort]bool)
	m.mu.Lock()
	for name, member := range m.table {
		switch {
		case name == m.cfg.Node:
		case member.State == Alive:
			alive++
			at[member.Addr], there[member.Addr] = false, true
		case member.State == Left: // it has said so
		default:
			if _, taken := at[member.Addr]; !taken {
				at[member.Addr] = true
			}
		}
	}
	m.mu.Unlock()
	at[m.own] = false
	if alive < len(m.cfg.Join) {
		for _, address := range m.cfg.Join {
			resolved, err := resolveAll(ctx, address)
			if err != nil {
				if ok, skipped := m.quiet.Allow("resolve " + address); ok && ctx.Err() == nil {
					m.log.Warn("cannot find a member, trying on", "address", address, "error", err, "skipped", skipped)
				}
				continue
			}
			if slices.ContainsFunc(resolved, func(a netip.AddrPort) bool { return there[a] }) {
				continue // whoever else has that name, we shall hear of
			}
			for _, a := range resolved {
				if _, known := at[a]; !known {
					at[a] = true
				}
			}
		}
	}
	var out []netip.AddrPort
	for address, missing := range at {
		if missing {
			out = append(out, address)
		}
	}
	return out
}
