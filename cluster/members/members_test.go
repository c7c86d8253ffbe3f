package members_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"
	"go.uber.org/goleak"

	"github.com/thinrelay/thinrelay/cluster/members"
)

func TestMain(m *testing.M) {
	net.DefaultResolver = resolver()
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

type node struct {
	*members.Members
	t    *testing.T
	logs *logBuffer
	stop func() // with a goodbye, and waits
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// tail is what a failure shows.
func (b *logBuffer) tail() string {
	s := b.String()
	return s[max(0, len(s)-3000):]
}

// local is timing for one host.
func local(c *memberlist.Config) {
	c.GossipInterval = 20 * time.Millisecond
	c.ProbeInterval = 100 * time.Millisecond
	c.ProbeTimeout = 50 * time.Millisecond
	c.PushPullInterval = 500 * time.Millisecond
	c.SuspicionMult = 2
	c.DeadNodeReclaimTime = time.Millisecond
	c.GossipToTheDeadTime = time.Millisecond // looking for the missing is our work
}

func start(t *testing.T, keyFile, name string, change func(*members.Config)) *node {
	t.Helper()
	logs := &logBuffer{}
	cfg := members.Config{
		Node: name, Label: "test", KeyFile: keyFile, Bind: "127.0.0.1:0", Tune: local, KeyInterval: 20 * time.Millisecond,
		Meta:   members.Meta{ClusterAddr: name + ":8300", RaftID: name + "-1"},
		Logger: hclog.New(&hclog.LoggerOptions{Output: logs, Level: hclog.Debug}),
	}
	if change != nil {
		change(&cfg)
	}
	m, err := members.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- m.Run(ctx) }()
	n := &node{Members: m, t: t, logs: logs}
	var once sync.Once
	n.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-over; err != nil {
				t.Errorf("%s ended with %v", name, err)
			}
		})
	}
	t.Cleanup(n.stop)
	return n
}

func joining(others ...*node) func(*members.Config) {
	return func(c *members.Config) {
		for _, n := range others {
			c.Join = append(c.Join, n.Addr().String())
		}
	}
}

func (n *node) view() string {
	var out []string
	for _, m := range n.Members.Members() {
		out = append(out, fmt.Sprintf("%s/%s/%s", m.Name, m.State, strings.Join(m.Meta.Replicas, "+")))
	}
	return strings.Join(out, " ")
}

// waits until the view is the wanted one, by Changed alone.
func (n *node) waits(want string) {
	n.t.Helper()
	late := time.After(patience)
	for {
		changed := n.Changed()
		if n.view() == want {
			return
		}
		select {
		case <-changed:
		case <-late:
			n.t.Fatalf("view %q, want %q\n%s", n.view(), want, n.logs.tail())
		}
	}
}

func (n *node) logged(want string) {
	n.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !strings.Contains(n.logs.String(), want) {
		select {
		case <-tick.C:
		case <-late:
			n.t.Fatalf("no %q in\n%s", want, n.logs.tail())
		}
	}
}

func keyFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gossip.key")
	if err := members.WriteKeyFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMembersFindEachOther(t *testing.T) {
	key := keyFile(t)
	a := start(t, key, "a", nil)
	b := start(t, key, "b", joining(a))
	c := start(t, key, "c", joining(b))
	all := []*node{a, b, c}
	for _, n := range all {
		n.waits("a/alive/ b/alive/ c/alive/")
	}
	b.Update(members.Meta{Replicas: []string{"nodeos-a", "nodeos-b"}, UpstreamReachable: true})
	for _, n := range all {
		n.waits("a/alive/ b/alive/nodeos-a+nodeos-b c/alive/")
	}
	got, ok := a.Member("b")
	if !ok || got.Addr != b.Addr() || !got.Meta.UpstreamReachable {
		t.Fatalf("b is %+v", got)
	}
	b.stop()
	a.waits("a/alive/ b/left/nodeos-a+nodeos-b c/alive/")
	// It comes back with another port, as a container does.
	b = start(t, key, "b", joining(a))
	for _, n := range []*node{a, b, c} {
		n.waits("a/alive/ b/alive/ c/alive/")
	}
}

func TestMissingMembersAreLookedFor(t *testing.T) {
	key := keyFile(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0") // b's port, before b is there
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().String()
	ln.Close()
	a := start(t, key, "a", func(c *members.Config) { c.Join = []string{port} })
	a.logged("cannot reach a member")
	b := start(t, key, "b", func(c *members.Config) { c.Bind = port }) // and b knows nobody
	a.waits("a/alive/ b/alive/")
	b.waits("a/alive/ b/alive/")
}

// Hosts that take connections and say nothing do not keep others from being joined.
func TestSilentMembersAreNotWaitedFor(t *testing.T) {
	key := keyFile(t)
	b := start(t, key, "b", nil)
	var silent []net.Listener
	ended := make(chan struct{}, 10)
	var held sync.WaitGroup
	for range cap(ended) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, ln)
		held.Go(func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				held.Go(func() {
					defer c.Close()
					_, _ = io.Copy(io.Discard, c) // until the other side gives up
					select {
					case ended <- struct{}{}:
					default:
					}
				})
			}
		})
	}
	a := start(t, key, "a", func(c *members.Config) {
		for _, ln := range silent {
			c.Join = append(c.Join, ln.Addr().String())
		}
		c.Join = append(c.Join, b.Addr().String())
	})
	a.waits("a/alive/ b/alive/")
	if n := len(ended); n > 0 {
		t.Errorf("b was joined when %d members that say nothing had been given up", n)
	}
	a.stop()
	for _, ln := range silent {
		ln.Close()
	}
	held.Wait()
}

func TestMembersThatCrashedAreLookedFor(t *testing.T) {
	key := keyFile(t)
	a := start(t, key, "a", nil) // has nobody to join
	b := start(t, key, "b", joining(a))
	a.waits("a/alive/ b/alive/")
	port := b.Addr().String()
	b.Close() // without a goodbye
	a.waits("a/alive/ b/gone/")
	start(t, key, "b", func(c *members.Config) { c.Bind = port }) // has forgotten whom to join
	a.waits("a/alive/ b/alive/")
}

func TestStrangersAreRefusedOnce(t *testing.T) {
	key := keyFile(t)
	a := start(t, key, "a", nil)
	start(t, key, "b", joining(a))
	a.waits("a/alive/ b/alive/")

	wrongKey := start(t, keyFile(t), "x", joining(a))
	a.logged("cluster.gossip_key_file must be the same")
	wrongKey.logged("cluster.gossip_key_file must be the same")
	wrongLabel := start(t, key, "y", func(c *members.Config) {
		joining(a)(c)
		c.Label = "another"
	})
	a.logged("another cluster's gossip")
	wrongLabel.logged("it hung up")
	for range 50 { // a fourth node with the right port and no key
		conn, err := net.Dial("udp", a.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte("hello"))
		conn.Close()
	}
	for range 3 {
		conn, err := net.Dial("tcp", a.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		conn.Read(make([]byte, 100))
		conn.Close()
	}
	if got, want := a.view(), "a/alive/ b/alive/"; got != want {
		t.Errorf("a sees %q, want %q", got, want)
	}
	if got := wrongKey.view() + " " + wrongLabel.view(); got != "x/alive/ y/alive/" {
		t.Errorf("strangers see %q, want themselves only", got)
	}
	lines := make(map[string]int)
	for line := range strings.Lines(a.logs.String()) {
		if _, message, ok := strings.Cut(line, "[WARN]"); ok {
			lines[message]++
		}
	}
	if len(lines) == 0 || len(lines) > 8 {
		t.Errorf("%d kinds of warnings, want a few: %v", len(lines), lines)
	}
	for line, n := range lines {
		if n != 1 {
			t.Errorf("%d times: %s", n, line)
		}
	}
}

// recorder keeps every packet a member sends.
type recorder struct {
	memberlist.NodeAwareTransport
	mu      sync.Mutex
	packets [][]byte
}

func (r *recorder) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	r.mu.Lock()
	r.packets = append(r.packets, bytes.Clone(b))
	r.mu.Unlock()
	return r.NodeAwareTransport.WriteToAddress(b, a)
}

func TestReplayedGossipChangesNothing(t *testing.T) {
	key := keyFile(t)
	a := start(t, key, "a", nil)
	tape := &recorder{}
	b := start(t, key, "b", func(c *members.Config) {
		joining(a)(c)
		c.Tune = func(mc *memberlist.Config) {
			local(mc)
			tape.NodeAwareTransport = mc.Transport.(memberlist.NodeAwareTransport)
			mc.Transport = tape
		}
	})
	a.waits("a/alive/ b/alive/")
	for _, replica := range []string{"old", "older"} {
		b.Update(members.Meta{Replicas: []string{replica}})
		a.waits("a/alive/ b/alive/" + replica)
	}
	tape.mu.Lock()
	packets := tape.packets
	tape.mu.Unlock()
	b.Update(members.Meta{Replicas: []string{"new"}})
	a.waits("a/alive/ b/alive/new")

	conn, err := net.Dial("udp", a.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, p := range packets {
		conn.Write(p)
	}
	b.Update(members.Meta{Replicas: []string{"newest"}}) // arrives after them, on the same socket
	a.waits("a/alive/ b/alive/newest")
	for _, replica := range []string{"old", "older", "new", "newest"} {
		if got := strings.Count(a.logs.String(), fmt.Sprintf("replicas=[%q]", replica)); got != 1 {
			t.Errorf("b's replica was %q %d times, want once\n%s", replica, got, a.logs.tail())
		}
	}
	if len(packets) == 0 {
		t.Fatal("nothing was recorded")
	}
}

func TestKeysAreReplacedWithoutARestart(t *testing.T) {
	dir := t.TempDir()
	one, two := members.NewKey(), members.NewKey()
	files := []string{filepath.Join(dir, "a.key"), filepath.Join(dir, "b.key")}
	put := func(lines ...string) {
		t.Helper()
		for _, file := range files {
			if err := os.WriteFile(file+".new", []byte(strings.Join(lines, "\n")), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(file+".new", file); err != nil { // nobody sees half a file
				t.Fatal(err)
			}
		}
	}
	put(one)
	a := start(t, files[0], "a", nil)
	b := start(t, files[1], "b", joining(a))
	a.waits("a/alive/ b/alive/")
	put("rubbish")
	a.logged("keeping the old ones")
	b.logged("keeping the old ones")
	for i := range 5 { // several looks at the file, and the old keys work on
		b.Update(members.Meta{Replicas: []string{fmt.Sprint("bad", i)}})
		a.waits("a/alive/ b/alive/bad" + fmt.Sprint(i))
	}
	for i, lines := range [][]string{{one, two}, {two, one}, {two}} {
		put(lines...)
		for _, n := range []*node{a, b} {
			waitCount(n, "gossip keys read again", i+1)
		}
		b.Update(members.Meta{Replicas: []string{fmt.Sprint(i)}})
		a.waits("a/alive/ b/alive/" + fmt.Sprint(i))
	}
	start(t, files[0], "c", joining(a)).waits("a/alive/ b/alive/2 c/alive/")
	old := filepath.Join(dir, "old.key")
	if err := os.WriteFile(old, []byte(one), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, old, "x", joining(a)).logged("cannot reach a member")
	if got, want := a.view(), "a/alive/ b/alive/2 c/alive/"; got != want {
		t.Errorf("with a member of the removed key a sees %q, want %q", got, want)
	}
	if got := strings.Count(a.logs.String(), "keeping the old ones"); got != 1 {
		t.Errorf("one bad file was reported %d times, want once", got)
	}
}

func waitCount(n *node, text string, count int) {
	n.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for strings.Count(n.logs.String(), text) < count {
		select {
		case <-tick.C:
		case <-late:
			n.t.Fatalf("not %d times %q in\n%s", count, text, n.logs.tail())
		}
	}
}

// Two relays with one name are an error; one that has moved is not told to change its name.
func TestOneNameAtTwoAddresses(t *testing.T) {
	n := start(t, keyFile(t), "a", nil)
	node := func(raftID, ip string) *memberlist.Node {
		return &memberlist.Node{Name: "b", Addr: net.ParseIP(ip), Port: 7946, Meta: members.Meta{RaftID: raftID}.Encode(members.MaxMeta)}
	}
	n.NotifyConflict(node("b-1", "10.0.0.1"), node("b-1", "10.0.0.2"))
	n.logged("[WARN]  a member is heard from another address")
	if got, unwanted := n.logs.String(), "one name"; strings.Contains(got, unwanted) {
		t.Errorf("a member has moved, and the log says %q:\n%s", unwanted, got)
	}
	n.NotifyConflict(node("b-1", "10.0.0.1"), node("b-2", "10.0.0.2"))
	n.logged("[ERROR] two relays use one name")
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	key := keyFile(t)
	for name, tt := range map[string]struct {
		change func(*members.Config)
		want   string
	}{
		"no key file":    {func(c *members.Config) { c.KeyFile += "x" }, "gossip keys"},
		"bad bind":       {func(c *members.Config) { c.Bind = "nonsense" }, "gossip address"},
		"bad advertise":  {func(c *members.Config) { c.Advertise = "127.0.0.1:http" }, "advertised gossip address"},
		"foreign bind":   {func(c *members.Config) { c.Bind = "192.0.2.1:7946" }, "listen for gossip on 192.0.2.1:7946"},
		"label too long": {func(c *members.Config) { c.Label = strings.Repeat("x", 256) }, "too long"},
	} {
		cfg := members.Config{Node: "a", KeyFile: key, Bind: "127.0.0.1:0"}
		tt.change(&cfg)
		m, err := members.Open(t.Context(), cfg)
		if err == nil {
			m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, tt.want)
		}
	}
}
