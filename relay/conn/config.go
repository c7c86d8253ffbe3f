package conn

import (
	"time"

	"github.com/hashicorp/go-hclog"
)

// Config sets the timing and the limits of a connection. A zero field takes its value from DefaultConfig.
type Config struct {
	// Logger receives what is worth knowing when a connection misbehaves. Causes of its end are returned, not logged.
	Logger hclog.Logger

	// KeepAlive is the interval of our own time messages. nodeos closes a connection that it accepted after 10 s
	// without any message (p2p notes, 6), and its own interval is 10 s too, so answering alone would be a race.
	KeepAlive time.Duration

	// ReadTimeout ends a connection on which no whole frame arrived for so long: a half-open socket, or a peer that
	// trickles bytes. nodeos speaks every 10 s at least (EOSIO 2.0: 32 s, but it answers our time messages).
	ReadTimeout time.Duration

	// WriteTimeout ends a connection that does not take one batch of frames (at most 256 KiB, or one larger frame), and on Linux one
	// whose host has not acknowledged for so long what was sent.
	WriteTimeout time.Duration

	// LiveFrames and LiveBytes bound the lane of control messages, votes and blocks.
	LiveFrames, LiveBytes int
	// SyncFrames and SyncBytes bound the lane of block sync. It is small: its sender waits with SendWait.
	SyncFrames, SyncBytes int
	// BulkFrames and BulkBytes bound the lane of transactions. What does not fit is dropped.
	BulkFrames, BulkBytes int

	// OpeningBytes is how much the peer may send before the owner has called Start: room for a handshake and a few
	// time messages, not for a block. Negative: no limit.
	OpeningBytes int

	// OnDrained is called after a live frame was refused, or Drop was called, once the live lane is empty and written:
	// the moment to fill it again. It runs on the writer's goroutine, at most once per occurrence, and must not block.
	// It can also be set later with SetOnDrained.
	OnDrained func()
}

// DefaultConfig returns the values used for fields that are zero.
func DefaultConfig() Config {
	return Config{
		Logger:       hclog.NewNullLogger(),
		KeepAlive:    3 * time.Second,
		ReadTimeout:  30 * time.Second,
		WriteTimeout: 10 * time.Second,
		LiveFrames:   4096,
		LiveBytes:    32 << 20, // nodeos itself drops a peer at 80 MiB of backlog (net_plugin.cpp:1632)
		SyncFrames:   16,
		SyncBytes:    4 << 20,
		BulkFrames:   4096,
		BulkBytes:    4 << 20,
		OpeningBytes: 4 << 10,
	}
}

func (c Config) withDefaults() Config {
	d := DefaultConfig()
	if c.Logger == nil {
		c.Logger = d.Logger
	}
	for _, f := range []struct{ v, d *time.Duration }{
		{&c.KeepAlive, &d.KeepAlive}, {&c.ReadTimeout, &d.ReadTimeout}, {&c.WriteTimeout, &d.WriteTimeout},
	} {
		if *f.v <= 0 {
			*f.v = *f.d
		}
	}
	for _, f := range []struct{ v, d *int }{
		{&c.LiveFrames, &d.LiveFrames},
		{&c.LiveBytes, &d.LiveBytes},
		{&c.SyncFrames, &d.SyncFrames},
		{&c.SyncBytes, &d.SyncBytes},
		{&c.BulkFrames, &d.BulkFrames},
		{&c.BulkBytes, &d.BulkBytes},
	} {
		if *f.v <= 0 {
			*f.v = *f.d
		}
	}
	if c.OpeningBytes == 0 {
		c.OpeningBytes = d.OpeningBytes
	}
	return c
}
