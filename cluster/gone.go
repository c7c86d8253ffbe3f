package cluster

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster/storage"
)

// LeaderGone tells the group that the process of the named leader has ended, as far as can be seen from here: its streams have ended and
// its address takes no new one. Raft would notice by silence alone, two to three heartbeat timeouts later; now the members stand for
// election at once, one after the other, the most useful first, so that they do not split the votes. To be wrong costs what a
// hand-over costs, and no safety: it is the election that a hand-over ends with, and terms and votes are what they always are. It
// does not block, and does nothing when another member leads by now.
func (g *Group) LeaderGone(name string) {
	select {
	case g.gone <- name:
	default: // one is being dealt with
	}
}

// succeed stands for election when a leader is gone.
func (g *Group) succeed(ctx context.Context, n *node) {
	for {
		select {
		case name := <-g.gone:
			g.stand(ctx, n, name)
		case <-ctx.Done():
			return
		}
	}
}

// stand waits for this member's turn and then stands for election, unless somebody leads.
func (g *Group) stand(ctx context.Context, n *node, gone string) {
	turn, term := g.turn(n, gone), n.raft.CurrentTerm()
	if leader, _ := g.Leader(); turn < 0 || leader != gone {
		return
	}
	// Long enough for the one before to win: a round trip and two writes to disk.
	wait, told := time.Duration(turn)*n.currentTimeouts().Heartbeat/2, time.Now()
	if !pause(ctx, wait) {
		return
	}
	// What it sent before its end has come by half of that; a later call is that of a leader that lives, and only takes no streams.
	if turn > 0 && n.raft.LastContact().After(told.Add(wait/2)) {
		g.log.Warn("the leader was told to be gone, and still calls", "leader", gone)
		return
	}
	if leader, _ := g.Leader(); leader != "" && (leader != gone || n.raft.CurrentTerm() != term) || n.raft.State() != raft.Follower {
		return // somebody leads: another member, or the same one again
	}
	g.log.Info("the leader is gone, standing for election", "leader", gone, "turn", turn)
	n.meter.stand(ctx)
}

// turn returns how many members stand before this one when the named leader is gone, negative when this one cannot: the more useful
// come first, then the order of names, which all agree on.
func (g *Group) turn(n *node, gone string) int {
	var classes map[string]int
	if g.cfg.Usefulness != nil {
		classes = g.cfg.Usefulness()
	}
	var names []string
	for _, s := range n.servers() {
		if name := storage.NodeOf(string(s.ID)); s.Suffrage == raft.Voter && name != gone {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(classes[b]-classes[a], cmp.Compare(a, b))
	})
	return slices.Index(names, g.cfg.Node)
}

// unbind makes a candidate forget the leader that it knows. Raft's candidates know none, but for those of a hand-over: a heartbeat that
// arrives while such a one writes its term sets the leader and leaves it a candidate (hashicorp/raft v1.8.0, raft.go:1480 and 1489). If it
// loses the election, and that leader ends, it refuses its pre-vote to everybody else for that leader's sake, for ever.
func (g *Group) unbind(ctx context.Context, n *node) {
	leader, _ := n.raft.LeaderWithID()
	if leader == "" || n.raft.State() != raft.Candidate || time.Since(n.raft.LastContact()) < 2*n.currentTimeouts().Election {
		return
	}
	g.log.Warn("a candidate still knows a leader, which has been silent: standing again", "leader", leader)
	n.meter.stand(ctx)
}
