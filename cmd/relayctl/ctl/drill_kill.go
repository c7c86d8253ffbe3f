package ctl

import (
	"context"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

const (
	killWait = 10 * time.Minute // for the operator to act
	// After a takeover the slots of the round have to pass before what was
	// lost is known.
	countWait = 7 * time.Second
)

// kill asks the operator to kill the leader and measures the takeover through
// another member. Took is from the last look that found the old leader leading to
// the first that found another: that member may hear of both at once. Lost is
// what it counted as missed.
func (d *drill) kill(ctx context.Context) (control.StepDown, error) {
	watcher, before, err := d.watcher(ctx)
	if err != nil {
		return control.StepDown{}, err
	}
	victim := clean(before.Leader)
	d.progress.say("kill the leader now, on the host of %s, by one of:\n  systemctl kill -s KILL relayd\n  docker kill relayd\nor, after make up: docker compose -f deploy/compose.yaml kill %s", victim, victim)

	ctx, cancel := context.WithTimeoutCause(ctx, killWait, fail(exitDegraded, "%s still leads after %s\n  next: kill it as told, or stop the drill", victim, killWait))
	defer cancel()
	result := control.StepDown{From: before.Leader}
	led := time.Now()      // when the old leader was last seen to lead
	answered := time.Now() // when the watcher last answered
	// What was missed long before is not the kill's; that of the last seconds may be, which the watcher notes later.
	missed, noted := before.Counters.Missed, time.Now()
	for {
		asked := time.Now()
		st, err := statusOf(ctx, watcher)
		switch {
		case err == nil:
			answered = time.Now()
		case ctx.Err() == nil && time.Since(answered) > d.app.killSilence():
			return control.StepDown{}, err
		}
		gone := err == nil && (st.Leader != before.Leader || !st.Quorum.OK)
		if err == nil && !gone {
			led = asked
			if asked.Sub(noted) >= d.app.countWait() {
				before.Counters.Missed, missed, noted = missed, st.Counters.Missed, asked
			}
		}
		if gone && st.Quorum.OK && st.Leader != "" {
			result.To, result.Term = st.Leader, st.Term
			result.TookMS = time.Since(led).Milliseconds()
			break
		}
		if err := pause(ctx, d.app.pollEvery/4); err != nil {
			return control.StepDown{}, err
		}
	}
	d.progress.say("%s leads; counting what was lost", clean(result.To))
	if err := pause(ctx, d.app.countWait()); err != nil {
		return control.StepDown{}, err
	}
	after, err := d.insist(ctx, watcher)
	if err != nil {
		return control.StepDown{}, err
	}
	result.Lost = int(after.Counters.Missed - min(after.Counters.Missed, before.Counters.Missed))
	d.progress.say("start %s again", victim)
	return result, nil
}

// insist asks the watcher until it answers, but not for ever: a single answer that does not come, in the middle of a takeover, is no reason
// to lose the measurement.
func (d *drill) insist(ctx context.Context, watcher *control.Client) (st control.Status, err error) {
	for begin := time.Now(); ; {
		if st, err = statusOf(ctx, watcher); err == nil || time.Since(begin) > d.app.killSilence() {
			return st, err
		}
		if stop := pause(ctx, d.app.pollEvery/4); stop != nil {
			return st, stop
		}
	}
}

// watcher is the first member of --addr that follows.
func (d *drill) watcher(ctx context.Context) (*control.Client, control.Status, error) {
	clients, err := d.app.clients()
	if err != nil {
		return nil, control.Status{}, err
	}
	var last error
	for _, c := range clients {
		st, err := statusOf(ctx, c)
		switch {
		case err != nil:
			last = err
		case !st.Quorum.OK || st.Leader == "":
			return nil, st, fail(exitDown, "no leader to kill\n  next: see relayctl status")
		case st.Node != st.Leader:
			return c, st, nil
		}
	}
	if last != nil {
		return nil, control.Status{}, last
	}
	return nil, control.Status{}, fail(exitDegraded, "the only member asked is the leader, which is about to be killed\n  next: name others too: --addr eu-1:9870,us-1:9870")
}

// killSilence is for how long the watcher may not answer: a takeover keeps it busy, and so does the line to it that the leader's host was on.
func (a *app) killSilence() time.Duration { return 50 * a.pollEvery }

func (a *app) countWait() time.Duration { return min(countWait, 35*a.pollEvery) }
