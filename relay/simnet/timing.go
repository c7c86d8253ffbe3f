package simnet

import "time"

// Timing holds a node's durations.
type Timing struct {
	// Offset is produce-block-offset-ms, per round. Default 450 ms, scaled by the
	// slot length.
	Offset time.Duration
	// VotePause is production-pause-vote-timeout-ms. Default 6 s, scaled;
	// negative: never pauses.
	VotePause time.Duration
	// VoteAge is how old a block may be to be voted for. Default 30 s, scaled.
	VoteAge time.Duration
	// KeepAlive is p2p-keepalive-interval-ms. Default 10 s.
	KeepAlive time.Duration
	// AcceptedSilence and DialledSilence close a connection on which nothing
	// comes. Default 10 s and twice KeepAlive (net_plugin.cpp:902, 4830).
	AcceptedSilence, DialledSilence time.Duration
	// Cleanup is connection-cleanup-period: a plain close is retried at its next
	// tick. Default 1 s, which replicas should use; nodeos has 30 s.
	Cleanup time.Duration
	// Retry is the delay where nodeos reconnects at once. Default 100 ms.
	Retry time.Duration
	// SyncWait is how long a sync request may go without a block. Default 5 s.
	SyncWait time.Duration
}

// DefaultTiming is nodeos's configuration at a slot length. Only what belongs
// to the chain scales with it; what belongs to connections is wall time.
func DefaultTiming(c Clock) Timing {
	return Timing{
		Offset:    c.Scale(450 * time.Millisecond),
		VotePause: c.Scale(6 * time.Second),
		VoteAge:   c.Scale(30 * time.Second),
		KeepAlive: 10 * time.Second, AcceptedSilence: 10 * time.Second, DialledSilence: 20 * time.Second,
		Cleanup: time.Second, Retry: 100 * time.Millisecond, SyncWait: 5 * time.Second,
	}
}

func (t Timing) withDefaults(c Clock) Timing {
	def := DefaultTiming(c)
	for _, f := range []struct{ have, def *time.Duration }{
		{&t.Offset, &def.Offset},
		{&t.VotePause, &def.VotePause},
		{&t.VoteAge, &def.VoteAge},
		{&t.KeepAlive, &def.KeepAlive},
		{&t.AcceptedSilence, &def.AcceptedSilence},
		{&t.DialledSilence, &def.DialledSilence},
		{&t.Cleanup, &def.Cleanup},
		{&t.Retry, &def.Retry},
		{&t.SyncWait, &def.SyncWait},
	} {
		if *f.have == 0 {
			*f.have = *f.def
		}
	}
	return t
}
