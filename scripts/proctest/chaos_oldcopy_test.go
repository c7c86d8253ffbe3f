package proctest_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A relay that takes its data_dir for an old copy is right only where it was given one, and nothing else since.
func TestOldCopyThatNobodyGave(t *testing.T) {
	const name = "eu-1"
	give := func(c *chaos) { c.put(name, backup{files: map[string][]byte{"raft.db": []byte("old")}}) }
	for what, run := range map[string]struct {
		faults        func(*chaos)
		noticed, fail int
	}{
		"none given":                   {func(*chaos) {}, 0, 1},
		"none given, a disk that ails": {func(c *chaos) { c.afflict[name].StallMS = 100 }, 0, 1},
		"given":                        {give, 1, 0},
		"given, and a disk that ails":  {func(c *chaos) { give(c); c.afflict[name].Error = "EIO" }, 1, 0},
		"given, then wiped":            {func(c *chaos) { give(c); c.empty(name) }, 0, 1},
		"given, and noticed before":    {func(c *chaos) { give(c); c.supervise(); delete(c.ended, name) }, 1, 1},
		"given to another one":         {func(c *chaos) { c.put("us-1", backup{}) }, 0, 1},
	} {
		t.Run(what, func(t *testing.T) {
			c := bareChaos(t)
			for _, other := range without(relayNames, name) {
				c.down[other] = 1
			}
			says := []byte("eu-1 ends: the data directory is older than what this member had: move data_dir away and start again\n")
			if err := os.WriteFile(filepath.Join(c.relays[name].dir, "log"), says, 0o600); err != nil {
				t.Fatal(err)
			}
			run.faults(c)
			c.supervise()
			if c.noticed != run.noticed || len(c.failures) != run.fail {
				t.Errorf("noticed %d, failures %q; want %d noticed, %d failures", c.noticed, c.failures, run.noticed, run.fail)
			}
			if left, err := os.ReadDir(c.relays[name].data()); err != nil || len(left) > 0 {
				t.Errorf("in the data_dir after it was moved away: %v, %v", left, err)
			}
		})
	}
}

// bareChaos is a run in which no relay has been started.
func bareChaos(t *testing.T) *chaos {
	t.Helper()
	c := &chaos{
		group: &group{t: t, relays: make(map[string]*relay)}, down: make(map[string]int), ended: make(map[string]time.Time),
		afflict: make(map[string]*affliction), afflicts: make(map[string]time.Time), backups: make(map[string]backup), old: make(map[string]bool), lines: newLines(),
	}
	c.watch = newWatch(c)
	for _, name := range relayNames {
		c.relays[name], c.afflict[name] = &relay{name: name, dir: t.TempDir()}, &affliction{}
		if err := os.Mkdir(c.relays[name].data(), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return c
}
