package control

// liveReplicas counts the replicas that could produce our next block.
func (s *Status) liveReplicas() int {
	live, _, _, _ := s.replicas()
	return live
}

// replicas counts the nodeos behind the group: one that is connected to two members, as it should be, is one. It is live if it is at
// either of them.
func (s *Status) replicas() (live, active, producing, observers int) {
	type state struct{ observer, active, live bool }
	all := map[string]state{}
	for _, m := range s.Members {
		if m.Role == RoleUnreachable {
			continue
		}
		for _, r := range m.Replicas {
			key := r.NodeID
			if key == "" { // a relay that does not tell: nothing to know it by elsewhere
				key = m.Name + " " + r.Name
			}
			n := all[key]
			n.observer = n.observer || r.Observer
			n.active = n.active || r.Active
			n.live = n.live || !r.Behind && !r.Syncing
			all[key] = n
		}
	}
	for _, n := range all {
		if n.observer {
			observers++
			continue
		}
		producing++
		if n.active {
			active++
		}
		if n.live {
			live++
		}
	}
	return live, active, producing, observers
}
