package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/control"
	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	// recentEvents is how many events status shows.
	recentEvents = 50
	// recentRefusals is how many of them are refusals: those come by the round,
	// and must not crowd out the rest.
	recentRefusals = 24
	// changeExplains is for how long after a change standbys may still sign:
	// nodeos stops 6 s after the last vote it heard.
	changeExplains = 10 * time.Second
	// eventBacklog bounds the events waiting for the API.
	eventBacklog = 256
)

// journal is told what happens at the node, and turns it into log lines,
// metrics, events for the API, and what status shows of the last round.
type journal struct {
	cfg     Config
	log     hclog.Logger
	metrics *control.Metrics
	clock   relay.Clock
	also    func(relay.Record)
	node    *relay.Node
	limit   limiter // the observer's

	mu       sync.Mutex
	counters control.Counters
	recent   []control.Event // newest last, but refusals
	refused  []control.Event // newest last
	round    round
	blocks   blockLog
	active   string
	marks    markLog
	listener chan control.Event
}

func newJournal(cfg Config, m *control.Metrics, log hclog.Logger, p parts) *journal {
	j := &journal{cfg: cfg, log: log, metrics: m, clock: p.clock, also: p.observe, limit: limiter{}}
	if j.clock == nil {
		j.clock = relay.SystemClock{}
	}
	return j
}

// observe takes one record; it runs on the node's observer goroutine.
func (j *journal) observe(r relay.Record) {
	j.tell(r)
	j.measure(r)
	j.mu.Lock()
	j.count(r)
	e, ok := j.event(r)
	if ok {
		e.Time, e.Node = r.At, j.cfg.Node
		switch e.Kind {
		case control.KindForwarded:
		case control.KindRefused:
			j.refused = keepLast(j.refused, e, recentRefusals)
		default:
			j.recent = keepLast(j.recent, e, recentEvents)
		}
		if j.listener != nil {
			select {
			case j.listener <- e:
			default:
			}
		}
	}
	j.mu.Unlock()
	if j.also != nil {
		j.also(r)
	}
}

// events is the stream for the API: one subscriber, from now until ctx ends.
func (j *journal) events(ctx context.Context) <-chan control.Event {
	out := make(chan control.Event, eventBacklog)
	j.mu.Lock()
	j.listener = out
	j.mu.Unlock()
	context.AfterFunc(ctx, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.listener == out {
			j.listener = nil
			close(out)
		}
	})
	return out
}

// tell writes the log line of a record, if it deserves one.
func (j *journal) tell(r relay.Record) {
	if !j.limit.allow(r, j.log) {
		return
	}
	b := r.Block
	switch r.Kind {
	case relay.Forwarded:
		j.log.Info("block forwarded", "height", b.Num(), "id", b.ID.Short(), "slot", uint32(b.Slot), "source", r.Name,
			"lead_ms", r.Lead.Milliseconds(), "took_us", r.Delay.Microseconds())
	case relay.Refused:
		j.log.Info("block refused", "height", b.Num(), "id", b.ID.Short(), "slot", uint32(b.Slot), "source", r.Name, "reason", r.Reason.String())
	case relay.Missed:
		j.log.Warn("slot missed", "slot", uint32(b.Slot), "time", j.clock.TimeOf(b.Slot).UTC().Format("15:04:05.000"))
	case relay.ActiveChange:
		j.log.Info("active replica", "source", r.Name, "cause", string(r.Cause))
	case relay.ReplicaState:
		j.log.Info("replica is "+r.Text, "source", r.Name)
	case relay.LinkUp:
		j.log.Info("link up", "member", r.Name)
	case relay.LinkDown:
		j.log.Info("link down", "member", r.Name, "error", errText(r.Err))
	case relay.Leading:
		j.log.Info("this member leads", "term", r.Term)
	case relay.Following:
		j.log.Info("this member leads no more", "term", r.Term, "cause", errText(r.Err))
	case relay.ModeChange:
		j.log.Info("failover mode", "mode", r.Text, "configured", j.cfg.Failover.Mode)
	case relay.Unresolved:
		j.log.Warn("mark unresolved", "height", b.ID.Num(), "id", b.ID.Short(), "source", r.Name, "why", r.Text)
	case relay.SetAside:
		j.log.Warn("block set aside", "height", b.Num(), "id", b.ID.Short(), "producer", b.Producer.String(), "upstream", r.Name, "why", r.Text)
	case relay.Readmitted:
		j.log.Info("block not set aside any more", "height", b.Num(), "id", b.ID.Short(), "upstream", r.Name, "why", r.Text)
	case relay.VoteConflict:
		j.log.Error("two live nodes hold one finalizer key", "height", b.Num(), "source", r.Name,
			"remedy", "give each finalizer host its own key, or stop one of them")
	case relay.Equivocation:
		j.log.Error("a replica signed two blocks on one parent", "height", b.Num(), "id", b.ID.Short(), "source", r.Name)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// measure updates the metrics.
func (j *journal) measure(r relay.Record) {
	switch r.Kind {
	case relay.Forwarded:
		j.metrics.Forwarded(r.Name, r.Delay, r.Lead)
		j.metrics.MarkHeight(r.Block.Num())
	case relay.Refused:
		j.metrics.Refused(r.Reason.String())
	case relay.Missed:
		j.metrics.SlotsMissed(1)
	case relay.SetAside:
		j.metrics.SetAside(r.Name)
	case relay.ActiveChange:
		j.metrics.ActiveSwitch()
	case relay.VoteUp:
		j.metrics.VotesForwarded(1)
	case relay.VoteConflict:
		j.metrics.DoubleVote()
		j.metrics.VoteDropped("conflict")
	case relay.VoteDropped:
		j.metrics.VoteDropped(r.Text)
	}
}

// count keeps the counters and the picture of the round. j.mu is held.
func (j *journal) count(r relay.Record) {
	switch r.Kind {
	case relay.Forwarded:
		j.counters.Forwarded++
		if r.Lead < 0 {
			j.counters.Late++
		}
		j.marks.forwarded(r)
		j.round.forwarded(r, j.clock)
		j.blocks.forwarded(r)
	case relay.Refused:
		j.counters.Refused++
		j.blocks.refuse(r, j.clock)
	case relay.Missed:
		j.counters.Missed++
		j.round.missed(r, j.clock)
	case relay.Leading:
		j.counters.Failovers++
	case relay.Network:
		j.round.network(r, j.cfg.Producers, j.clock)
		j.marks.network(r, j.cfg.Producers)
	}
}

// event translates a record for the API; false when it is not for people.
func (j *journal) event(r relay.Record) (control.Event, bool) {
	b := r.Block
	block := control.Event{Num: b.Num(), BlockID: b.ID.String(), Slot: uint32(b.Slot), Source: r.Name}
	switch r.Kind {
	case relay.Forwarded:
		lead := r.Lead.Milliseconds()
		block.Kind, block.LeadMS = control.KindForwarded, &lead
		return block, true
	case relay.Refused:
		block.Kind, block.Reason = control.KindRefused, r.Reason.String()
		return block, true
	case relay.Missed:
		return control.Event{Kind: control.KindMissed, Slot: uint32(b.Slot), Text: "a slot of ours passed without a block"}, true
	case relay.ActiveChange:
		e := control.Event{Kind: control.KindActive, From: j.active, To: r.Name, Reason: string(r.Cause)}
		j.active = r.Name
		return e, true
	case relay.Leading:
		return control.Event{Kind: control.KindLeader, To: j.cfg.Node, Text: fmt.Sprintf("%s leads in term %d", j.cfg.Node, r.Term)}, true
	case relay.Following:
		return control.Event{Kind: control.KindLeader, From: j.cfg.Node, Reason: errText(r.Err), Text: j.cfg.Node + " leads no more"}, true
	case relay.ReplicaUp:
		return control.Event{Kind: control.KindReplicaUp, Source: r.Name, Text: r.Text}, true
	case relay.ReplicaDown:
		return control.Event{Kind: control.KindReplicaDown, Source: r.Name, Reason: errText(r.Err), Text: r.Text}, true
	case relay.UpstreamUp:
		return control.Event{Kind: control.KindUpstreamUp, Peer: r.Name}, true
	case relay.UpstreamDown:
		return control.Event{Kind: control.KindUpstreamDown, Peer: r.Name, Reason: errText(r.Err)}, true
	case relay.VoteConflict:
		return control.Event{Kind: control.KindAlarm, Source: r.Name, Text: "two live nodes hold one finalizer key"}, true
	case relay.Equivocation:
		return control.Event{Kind: control.KindAlarm, Source: r.Name, Text: "a replica signed two blocks on one parent"}, true
	case relay.SetAside:
		return control.Event{
			Kind: control.KindAlarm, Peer: r.Name, Num: b.Num(), BlockID: b.ID.String(),
			Text: fmt.Sprintf("block %d of %s is kept from the replicas: %s", b.Num(), r.Name, r.Text),
		}, true
	case relay.Unresolved:
		return control.Event{Kind: control.KindAlarm, Source: r.Name, Text: r.Text}, true
	}
	return control.Event{}, false
}

// steppedDown notes the outcome of a hand-over.
func (j *journal) steppedDown(d control.StepDown) {
	j.metrics.StepDown()
	j.mu.Lock()
	defer j.mu.Unlock()
	e := control.Event{Kind: control.KindStepDown, Time: time.Now(), Node: j.cfg.Node, From: d.From, To: d.To, TookMS: d.TookMS, GapMS: d.GapMS, Lost: d.Lost}
	j.recent = keepLast(j.recent, e, recentEvents)
	if j.listener != nil {
		select {
		case j.listener <- e:
		default:
		}
	}
}

// missedBetween counts the slots of ours between two moments that have no block.
func (j *journal) missedBetween(from, to time.Time) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := 0
	for _, s := range j.round.slots {
		if s.State == control.SlotMissed && s.Time.After(from) && !s.Time.After(to) {
			n++
		}
	}
	return n
}

// keepLast appends e to a list of at most n.
func keepLast(list []control.Event, e control.Event, n int) []control.Event {
	list = append(list, e)
	return list[max(0, len(list)-n):]
}

// explained are the refusals of which it is still known what went before. A change of the leader or of the active replica explains those
// of the next seconds, and without it they look like a replica that does not obey. j.mu is held.
func (j *journal) explained() []control.Event {
	if len(j.recent) < recentEvents {
		return j.refused // all is known
	}
	from := j.recent[0].Time.Add(changeExplains)
	i := slices.IndexFunc(j.refused, func(e control.Event) bool { return !e.Time.Before(from) })
	if i < 0 {
		return nil
	}
	return j.refused[i:]
}

// snapshot is what status shows of the journal.
func (j *journal) snapshot(now wire.Slot) (counters control.Counters, events []control.Event, r *control.Round) {
	j.mu.Lock()
	defer j.mu.Unlock()
	events = slices.Concat(j.recent, j.explained())
	slices.SortStableFunc(events, func(a, b control.Event) int { return b.Time.Compare(a.Time) })
	return j.counters, events, j.round.view(now)
}
