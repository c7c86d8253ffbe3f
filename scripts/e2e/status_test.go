//go:build e2e

package e2e_test

import (
	"context"
	"slices"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

// status asks a relay from outside, through its published port.
func (s *stack) status(relay string) (control.Status, error) {
	c, err := control.NewClient(control.ClientConfig{Addr: "http://127.0.0.1:" + ports[relay]})
	if err != nil {
		return control.Status{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return c.Status(ctx)
}

// whole reports a group with all its members, upstreams and live replicas.
func whole(st control.Status) bool {
	if st.Leader == "" || !st.Quorum.OK || st.Quorum.Have != 3 || st.Quorum.Total != 3 || st.Active == "" {
		return false
	}
	connected := 0
	for _, u := range st.Upstreams {
		if u.State == control.UpstreamConnected {
			connected++
		}
	}
	live := map[string]bool{}
	for _, m := range st.Members {
		if m.Stale || m.Role == control.RoleUnreachable || m.Role == control.RoleNonvoter {
			return false
		}
		for _, r := range m.Replicas {
			if r.Behind || r.Syncing {
				return false
			}
			live[r.Name] = true
		}
	}
	return connected == 2 && len(live) == 4 // three replicas and the finalizer
}

// awaitWhole waits until every relay sees the whole group.
func (s *stack) awaitWhole(limit time.Duration) {
	s.t.Helper()
	s.until("the group is whole as every member sees it", limit, 200*time.Millisecond, func() bool {
		var leaders []string
		for _, r := range relays {
			st, err := s.status(r)
			if err != nil || st.Leader == "" || !st.Quorum.OK {
				return false
			}
			if st.Leader == r && !whole(st) {
				return false
			}
			leaders = append(leaders, st.Leader)
		}
		return len(slices.Compact(leaders)) == 1
	})
}

// roles is who does what now.
type roles struct{ leader, follower, active, standby string }

func (s *stack) roles() roles {
	s.t.Helper()
	st, err := s.status(relays[0])
	if err != nil {
		s.t.Fatal(err)
	}
	r := roles{leader: st.Leader, active: st.Active}
	for _, name := range relays {
		if name != r.leader {
			r.follower = name
		}
	}
	for _, name := range []string{"nodeos-a", "nodeos-b", "nodeos-c"} {
		if name != r.active {
			r.standby = name
		}
	}
	return r
}

// takeover waits until a member other than the old leader says that another one leads, and returns how long that took.
func (s *stack) takeover(old string, since time.Time) time.Duration {
	s.t.Helper()
	s.until("another member leads than "+old, 30*time.Second, 10*time.Millisecond, func() bool {
		for _, r := range relays {
			if r == old {
				continue
			}
			if st, err := s.status(r); err == nil && st.Leader != "" && st.Leader != old && st.Quorum.OK {
				return true
			}
		}
		return false
	})
	return time.Since(since)
}
