package cluster_test

import (
	"bytes"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster"
)

// closing is a layer that closes what it has accepted, as [transport.RaftLayer] does.
type closing struct {
	raft.StreamLayer

	mu       sync.Mutex
	accepted []net.Conn
}

func (l *closing) Accept() (net.Conn, error) {
	c, err := l.StreamLayer.Accept()
	if err == nil {
		l.mu.Lock()
		l.accepted = append(l.accepted, c)
		l.mu.Unlock()
	}
	return c, err
}

func (l *closing) Close() error {
	err := l.StreamLayer.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.accepted {
		_ = c.Close()
	}
	return err
}

// journal is a log that is read while it is written.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

func (j *journal) Reset() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.buf.Reset()
}

// A member that is stopped in order logs no error: there is nothing for anybody to do. The others are alive: a leader tells of one that
// is not, and should.
func TestStopLogsNoError(t *testing.T) {
	for name, pick := range map[string]func(w *world) *member{
		"follower": func(w *world) *member { return w.followers(w.leader())[0] },
		"leader":   (*world).leader,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "a", "b", "c")
				defer w.close()
				logs := map[string]*journal{}
				w.tune = func(c *cluster.Config) {
					logs[c.Node] = &journal{}
					c.Logger = hclog.New(&hclog.LoggerOptions{Output: logs[c.Node], Level: hclog.Error})
					c.Layer = &closing{StreamLayer: c.Layer}
				}
				w.startAll()
				m := pick(w)
				if err := m.quit(); err != nil {
					t.Errorf("%s: run: %v", m.name, err)
				}
				synctest.Wait()
				if got := strings.TrimSpace(logs[m.name].String()); got != "" {
					t.Errorf("%s logged, when it was stopped:\n%s", m.name, got)
				}
			})
		})
	}
}

// Members that are down for minutes are told of, again and again, but not with every call that fails.
func TestDeadMembersDoNotFloodTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a", "b", "c")
		defer w.close()
		logs := map[string]*journal{}
		w.tune = func(c *cluster.Config) {
			logs[c.Node] = &journal{}
			c.Logger = hclog.New(&hclog.LoggerOptions{Output: logs[c.Node], Level: hclog.Info})
		}
		w.startAll()
		leader := w.leader()
		log := logs[leader.name]
		for i, gone := range w.followers(leader) { // with the second one the quorum is gone
			gone.kill()
			most := 50 * (i + 1)
			log.Reset()
			time.Sleep(2 * time.Minute) // fake time
			synctest.Wait()
			told, lines := strings.Count(log.String(), gone.name+"-"), strings.Count(log.String(), "\n")
			if told < 2 || lines > most {
				t.Errorf("%d dead, for two minutes: %d lines, %d of them with its name, want 2 or more, and %d lines at most:\n%s",
					i+1, lines, told, most, log.String())
			}
		}
	})
}
