//go:build chaos

package main

import (
	"encoding/json"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	_ "unsafe" // for go:linkname

	"github.com/thinrelay/thinrelay/cluster/storage"
)

// wallOffset is what time.Now adds to the wall clock, in nanoseconds. There is
// such a thing only in a build whose package time was patched, as scripts/proctest
// does: so a step is one for the whole process, its libraries included.
//
//go:linkname wallOffset time.wallOffset
var wallOffset atomic.Int64

// affliction is what the file named by THINRELAY_AFFLICTION says is wrong with
// this host.
type affliction struct {
	StallMS int64  `json:"stall_ms"` // every write of the store takes this much longer
	Error   string `json:"error"`    // EIO, ENOSPC: every write of the store fails so
	ClockMS int64  `json:"clock_ms"` // the wall clock is off by this much
}

// afflictionEvery is how often that file is looked at.
const afflictionEvery = 20 * time.Millisecond

// afflicted puts a disk that can fail behind the store, and follows the file. What comes of
// it is written down beside that file.
func afflicted(cfg Config, p parts) parts {
	path := os.Getenv("THINRELAY_AFFLICTION")
	if path == "" {
		return p
	}
	faults := &storage.Faults{}
	follow(path, faults)
	p.store = func() (*storage.Store, error) {
		log := newLogger(cfg, os.Stderr).Named("cluster")
		medium, err := storage.OpenDisk(cfg.DataDir, cfg.Node, log)
		if err != nil {
			return nil, err
		}
		faults.Backend = medium.Backend
		if medium.Backend, err = newSufferer(faults, path+".felt"); err != nil {
			return nil, err
		}
		return storage.New(medium, cfg.Node, storage.Config{Logger: log.Named("storage")})
	}
	return p
}

// follow applies what the file says now, and whatever it says later.
func follow(path string, faults *storage.Faults) {
	apply := func() {
		text, err := os.ReadFile(path)
		var a affliction
		if err != nil || json.Unmarshal(text, &a) != nil {
			return // being written
		}
		faults.Slow(time.Duration(a.StallMS) * time.Millisecond)
		switch a.Error {
		case "EIO":
			faults.Fail(syscall.EIO)
		case "ENOSPC":
			faults.Fail(syscall.ENOSPC)
		default:
			faults.Fail(nil)
		}
		wallOffset.Store(a.ClockMS * int64(time.Millisecond))
	}
	apply()
	go func() {
		for range time.Tick(afflictionEvery) {
			apply()
		}
	}()
}
