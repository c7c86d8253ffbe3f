package proctest_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/cluster/transport"
)

// hostKinds happen to a relay's host: its disk, its clock, its files. Disks are written to in
// our rounds, and hardly else.
var hostKinds = []kind{
	{name: "disk-full", inRound: true, prepare: (*chaos).diskFull},
	{name: "disk-stall", inRound: true, prepare: (*chaos).diskStalls},
	{name: "disk-eio", inRound: true, prepare: (*chaos).diskFails},
	{name: "clock-step", prepare: (*chaos).clockSteps},
	{name: "certificate", prepare: (*chaos).certificateEnds},
	{name: "wiped", prepare: (*chaos).wiped},
	{name: "replaced", prepare: (*chaos).replaced},
	{name: "backup", prepare: (*chaos).restored},
}

// affliction is what is wrong with a relay's host: the file of cmd/relayd/parts_chaos.go.
type affliction struct {
	StallMS int64  `json:"stall_ms,omitempty"`
	Error   string `json:"error,omitempty"`
	ClockMS int64  `json:"clock_ms,omitempty"`
}

// dataSize is how much there is on a relay's disk, in bytes.
const dataSize = 16 << 20

// prepare gives a relay a disk of its own, and a host that can be afflicted.
func (c *chaos) prepare(t *testing.T, r *relay, relayd string) {
	t.Helper()
	r.binary = relayd
	r.env = []string{"THINRELAY_AFFLICTION=" + filepath.Join(r.dir, "affliction")}
	c.afflict[r.name], c.dirs[r.name] = &affliction{}, r.dir
	if err := c.smite(r.name); err != nil {
		t.Fatal(err)
	}
	unmount, err := ownDisk(r.data(), dataSize)
	if err != nil {
		c.lines.say("no disk of its own for %s (%v): it is not filled, the store is only told that it is full", r.name, err)
		return
	}
	c.mounted = true
	t.Cleanup(func() {
		r.kill()
		if err := unmount(); err != nil {
			t.Error(err)
		}
	})
}

// data is the relay's data_dir.
func (r *relay) data() string { return filepath.Join(r.dir, "data") }

// smite tells a relay what is wrong with its host.
func (c *chaos) smite(name string) error {
	b, err := json.Marshal(c.afflict[name])
	if err != nil {
		return err
	}
	path := filepath.Join(c.dirs[name], "affliction")
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// felt are the lines that the store of a relay has written on what it felt of its disk
// (cmd/relayd/sufferer_chaos.go), from the one with that number on.
func (c *chaos) felt(name string, from int) []string {
	b, err := os.ReadFile(filepath.Join(c.dirs[name], "affliction.felt"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.t.Fatal(err)
	}
	lines := strings.SplitAfter(string(b), "\n") // after the last one there is an empty one
	return lines[min(from, len(lines)-1) : len(lines)-1]
}

// feels reports whether, since it was asked for, the store of a relay has felt something of
// its disk.
func (c *chaos) feels(name string, is func(line string) bool) func() bool {
	from := len(c.felt(name, 0))
	return func() bool { return slices.ContainsFunc(c.felt(name, from), is) }
}

// failed says that a write has failed with an error.
func failed(err error) func(string) bool {
	return func(line string) bool { return line == "failed "+err.Error()+"\n" }
}

// slow says that a write takes so long; what is written down is 50 ms, 100 ms, and so on.
func slow(by time.Duration) func(string) bool {
	return func(line string) bool {
		took, ok := strings.CutPrefix(line, "slow ")
		d, err := time.ParseDuration(strings.TrimSpace(took))
		return ok && err == nil && 2*d > by
	}
}

// afflicted is a fault that changes what is wrong with a host, and takes it back.
func (c *chaos) afflicted(name, what, lock string, lasts time.Duration, begin, heal func(*affliction), struck func() bool) *fault {
	apply := func(f func(*affliction)) func() {
		return func() {
			if a := *c.afflict[name]; a.Error != "" || a.StallMS != 0 {
				c.afflicts[name] = time.Now()
			}
			f(c.afflict[name])
			if err := c.smite(name); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	return &fault{what: what, locks: []string{lock + " " + name}, lasts: lasts, begin: apply(begin), heal: apply(heal), struck: struck}
}

// diskFull fills the disk. Bolt reuses pages of its own, so the store is told, too.
func (c *chaos) diskFull(r *rand.Rand) *fault {
	name := c.someRelay(r)
	filler := filepath.Join(c.relays[name].data(), "filler")
	f := c.afflicted(name, name+c.part(name), "disk", lasting(r, 500*time.Millisecond, 15*time.Second),
		func(a *affliction) { a.Error = "ENOSPC" }, func(a *affliction) { a.Error = "" }, c.feels(name, failed(syscall.ENOSPC)))
	if !c.mounted {
		return f
	}
	begin, heal := f.begin, f.heal
	f.begin = func() {
		begin()
		if err := os.WriteFile(filler, make([]byte, dataSize), 0o600); !errors.Is(err, syscall.ENOSPC) {
			c.t.Fatalf("the disk of %s is not full: %v", name, err)
		}
	}
	f.heal = func() {
		if err := os.Remove(filler); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.t.Fatal(err)
		}
		heal()
	}
	return f
}

// diskStalls makes each write take longer.
func (c *chaos) diskStalls(r *rand.Rand) *fault {
	name, by := c.someRelay(r), lasting(r, 50*time.Millisecond, 8*time.Second)
	return c.afflicted(name, fmt.Sprintf("%s%s by %s", name, c.part(name), by.Round(10*time.Millisecond)), "disk", lasting(r, time.Second, 10*time.Second),
		func(a *affliction) { a.StallMS = by.Milliseconds() }, func(a *affliction) { a.StallMS = 0 }, c.feels(name, slow(by)))
}

// diskFails makes each write fail; the relay ends, and is started again and again.
func (c *chaos) diskFails(r *rand.Rand) *fault {
	name := c.someRelay(r)
	return c.afflicted(name, name+c.part(name), "disk", lasting(r, 500*time.Millisecond, 10*time.Second),
		func(a *affliction) { a.Error = "EIO" }, func(a *affliction) { a.Error = "" }, c.feels(name, failed(syscall.EIO)))
}

// clockSteps puts the wall clock of a host off, and back.
func (c *chaos) clockSteps(r *rand.Rand) *fault {
	name := c.someRelay(r)
	step := 250*time.Millisecond + time.Duration(r.Int64N(int64(4750*time.Millisecond)))
	if r.IntN(2) == 0 {
		step = -step
	}
	return c.afflicted(name, fmt.Sprintf("%s%s by %+.2fs", name, c.part(name), step.Seconds()), "clock", lasting(r, time.Second, 15*time.Second),
		func(a *affliction) { a.ClockMS = step.Milliseconds() }, func(a *affliction) { a.ClockMS = 0 }, c.watch.clocks.tells(name, step))
}

// certify gives a relay a new certificate.
func (c *chaos) certify(name string, life time.Duration) {
	pair, err := c.ca.Issue(transport.Issue{Node: name, Life: life})
	if err != nil {
		c.t.Fatal(err)
	}
	files := transport.FilesOf(c.certs, name)
	for path, data := range map[string][]byte{files.Cert: pair.Cert, files.Key: pair.Key} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
}

// certificateEnds gives a relay a certificate that ends soon, breaks its
// connections when it has ended, and renews it.
func (c *chaos) certificateEnds(r *rand.Rand) *fault {
	name := c.someRelay(r)
	life, after := 3*time.Second, lasting(r, time.Second, 10*time.Second)
	i := &impairment{share: 1, mode: reset}
	ways := both(name, without(relayNames, name))
	var ended atomic.Bool
	return &fault{
		what: fmt.Sprintf("of %s%s ends after %s", name, c.part(name), life), locks: []string{"certificate " + name}, lasts: life + after,
		begin: func() {
			c.certify(name, life)
			for _, in := range []time.Duration{1100 * time.Millisecond, 1700 * time.Millisecond} {
				c.at(in, func() { go c.shows(name) }) // a relay looks at the files when it is called, or every ten seconds
			}
			c.at(life, func() { c.fabric.worsen(i, ways...) })
			c.at(life+500*time.Millisecond, func() { c.fabric.improve(i, ways...) })
			c.at(life+700*time.Millisecond, func() {
				go func() { ended.Store(c.shows(name).Before(time.Now())) }()
			})
		},
		heal:   func() { c.certify(name, 0) },
		struck: func() bool { return i.felt.Load() > 0 && ended.Load() },
	}
}

// shows is when the certificate ends that a relay shows to who calls it; far in the future
// when it does not answer.
func (c *chaos) shows(name string) time.Time {
	until := time.Now().AddDate(1000, 0, 0)
	d := tls.Dialer{
		NetDialer: &net.Dialer{Timeout: time.Second},
		Config: &tls.Config{
			InsecureSkipVerify: true, NextProtos: []string{transport.ProtoLink},
			VerifyConnection: func(s tls.ConnectionState) error {
				until = s.PeerCertificates[0].NotAfter
				return errors.New("that is all we want to know")
			},
		},
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if conn, err := d.DialContext(ctx, "tcp", c.cluster[name]); err == nil {
		conn.Close()
	}
	return until
}

// identity is what one fault of a wave has: whose log is lost may not be two of three.
const identity = wholeWave + "identity"

// wiped kills a relay and empties its data_dir: it comes back as another member.
func (c *chaos) wiped(r *rand.Rand) *fault {
	name := c.someRelay(r)
	return c.lost(name, name+c.part(name), r, func() {})
}

// replaced is a new host under an old name: nothing on its disk, other keys.
func (c *chaos) replaced(r *rand.Rand) *fault {
	name := c.someRelay(r)
	f := c.lost(name, name+c.part(name), r, func() { c.certify(name, 0) })
	if f != nil {
		f.locks = append(f.locks, "certificate "+name)
	}
	return f
}

// lost kills a relay, empties its data_dir, does something, and starts it again.
func (c *chaos) lost(name, what string, r *rand.Rand, and func()) *fault {
	f := c.killed(name, r)
	if f == nil {
		return nil
	}
	kill := f.begin
	f.what, f.locks = what, append(f.locks, "disk "+name, identity)
	f.begin = func() {
		kill()
		c.empty(name)
		and()
	}
	return f
}

// empty deletes what is in a relay's data_dir.
func (c *chaos) empty(name string) {
	dir := c.relays[name].data()
	list, err := os.ReadDir(dir)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, e := range list {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			c.t.Fatal(err)
		}
	}
	delete(c.backups, name)
	delete(c.old, name)
}

// backup is a copy of a data_dir.
type backup struct {
	at    time.Time
	files map[string][]byte // by path in it
}

// backUp copies the data_dir of a relay that stands still for it, now and then.
func (c *chaos) backUp(r *rand.Rand) {
	name := oneOf(r, relayNames)
	if _, ok := c.backups[name]; ok || c.relays[name].pid() == 0 {
		return
	}
	c.relays[name].signal(syscall.SIGSTOP)
	defer c.relays[name].signal(syscall.SIGCONT)
	b := backup{at: time.Now(), files: make(map[string][]byte)}
	root := os.DirFS(c.relays[name].data())
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b.files[path], err = fs.ReadFile(root, path)
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.backups[name] = b
}

// restored is what operators are told never to do: a relay gets an old copy of
// its data_dir back.
func (c *chaos) restored(r *rand.Rand) *fault {
	const old = 45 * time.Second // by then the others have been told of what came after
	for _, name := range relayNames {
		b, ok := c.backups[name]
		if !ok || time.Since(b.at) < old {
			continue
		}
		return c.lost(name, fmt.Sprintf("of %s%s, %s old", name, c.part(name), time.Since(b.at).Round(time.Second)), r, func() { c.put(name, b) })
	}
	return nil
}

// put puts a backup into a data_dir that is empty.
func (c *chaos) put(name string, b backup) {
	c.old[name] = true
	for path, data := range b.files {
		path = filepath.Join(c.relays[name].data(), path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			c.t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
}

// causes are what a relay may say when it ends by itself and its disk does not fail: that
// it is not to go on with what it has, or cannot shake hands with anybody.
var causes = []string{"move data_dir away", "certificate has expired"}

// oldCopy is what a relay says when it has noticed that its data_dir is an old copy.
const oldCopy = "older than what this member had"

// mayEnd reports whether a relay that has ended by itself had a cause. What it takes for an old copy
// must be one: nothing else that is done to it, to its disk neither, has its log forget anything.
func (c *chaos) mayEnd(name, last string) bool {
	if strings.Contains(last, oldCopy) {
		return c.old[name]
	}
	if a := c.afflict[name]; a.Error != "" || a.StallMS != 0 || time.Since(c.afflicts[name]) < grace {
		return true
	}
	return slices.ContainsFunc(causes, func(s string) bool { return strings.Contains(last, s) })
}

// grace is how long after its disk is well again a relay may still end: a write was under way.
const grace = 10 * time.Second

// supervise starts relays that have ended by themselves, a second later, as a
// service manager does. Where a relay says that its data_dir must be moved away,
// that is done, as an operator would.
func (c *chaos) supervise() {
	for _, name := range relayNames {
		r := c.relays[name]
		at, seen := c.ended[name]
		switch {
		case r.pid() != 0 || c.down[name] > 0:
			delete(c.ended, name)
		case !seen:
			c.ended[name] = time.Now()
			last := tail(r.log(), 40)
			c.watch.panicked(name, last)
			c.lines.say("         %-12s %s by itself; it is started again", "ended", name)
			last = tail(last, 3)
			if !c.mayEnd(name, last) {
				c.fail("%s ends by itself without a cause:\n%s", name, last)
			}
			if strings.Contains(last, oldCopy) && c.old[name] {
				c.noticed++
			}
			if strings.Contains(last, "move data_dir away") {
				c.lines.say("         %-12s of %s is moved away, as it says", "data_dir", name)
				c.empty(name)
			}
		case time.Since(at) >= time.Second:
			delete(c.ended, name)
			r.start(c.t)
		}
	}
}
