package control_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

func TestEvents(t *testing.T) {
	node := newFakeNode()
	url, _ := start(t, control.Config{Node: node})
	c, err := control.NewClient(control.ClientConfig{Addr: url})
	if err != nil {
		t.Fatal(err)
	}
	sent := []control.Event{
		{Kind: control.KindForwarded, Num: 10, Source: "a\nb", LeadMS: ptr(int64(0))},
		{Kind: control.KindRefused, Reason: "unlinked"},
		{Kind: control.KindStepDown, From: "eu-1", To: "us-1", GapMS: ptr(int64(0))},
	}
	enough := errors.New("enough")
	read := func(lastID string, n int) (got []control.Event) {
		err := c.Events(t.Context(), lastID, func(e control.Event) error {
			if got = append(got, e); len(got) == n {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) {
			t.Fatalf("Events: %v after %d", err, len(got))
		}
		return got
	}

	resp, err := http.Get(url + "/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	stream := bufio.NewReader(resp.Body)
	if line, err := stream.ReadString('\n'); err != nil || line != "retry: 1000\n" { // it has subscribed
		t.Fatalf("stream begins with %q, %v", line, err)
	}
	node.emit(t, sent...)
	var first []control.Event
	err = control.ReadEvents(stream, func(name string, data []byte) error {
		var e control.Event
		if err := json.Unmarshal(data, &e); err != nil || name != string(e.Kind) {
			t.Errorf("event %q: %s, %v", name, data, err)
		}
		if first = append(first, e); len(first) == len(sent) {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatalf("ReadEvents: %v", err)
	}
	if first[0].Source != "a\nb" || first[0].LeadMS == nil || first[1].Reason != "unlinked" || first[2].GapMS == nil {
		t.Errorf("events %+v", first)
	}

	// A stream that comes back gets what it missed, once.
	again := read(first[0].ID, 2)
	if again[0].ID != first[1].ID || again[1].ID != first[2].ID {
		t.Errorf("resumed with %s %s, want %s %s", again[0].ID, again[1].ID, first[1].ID, first[2].ID)
	}

	// The status tells the recent ones, newest first, without the forwarded blocks.
	st, err := c.Status(t.Context())
	if err != nil || len(st.Events) != 2 || st.Events[0].Kind != control.KindStepDown || st.Events[1].Kind != control.KindRefused {
		t.Errorf("recent events %+v, %v", st.Events, err)
	}
}

// recorder is a connection whose reader can be stopped.
type recorder struct {
	header http.Header
	wrote  chan []byte
}

func (r *recorder) Header() http.Header { return r.header }
func (r *recorder) WriteHeader(int)     {}
func (r *recorder) Flush()              {}
func (r *recorder) Write(p []byte) (int, error) {
	r.wrote <- bytes.Clone(p)
	return len(p), nil
}

// quietListener accepts nobody.
type quietListener struct{ closed chan struct{} }

func (l quietListener) Accept() (net.Conn, error) { <-l.closed; return nil, net.ErrClosed }
func (l quietListener) Close() error              { close(l.closed); return nil }
func (l quietListener) Addr() net.Addr            { return &net.TCPAddr{} }

// run runs a server without sockets, inside a synctest bubble.
func run(t *testing.T, s *control.Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx, quietListener{make(chan struct{})}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// stream opens an event stream whose bytes the test takes one write at a time.
func stream(t *testing.T, s *control.Server, target string) (wrote chan []byte, ended chan struct{}, hangUp func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	rec := &recorder{header: http.Header{}, wrote: make(chan []byte)}
	ended = make(chan struct{})
	go func() {
		s.Handler().ServeHTTP(rec, httptest.NewRequest("GET", target, nil).WithContext(ctx))
		close(ended)
	}()
	return rec.wrote, ended, cancel
}

// TestSlowSubscriber never lets a reader hold up the node or another reader.
func TestSlowSubscriber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := newFakeNode()
		s := control.New(control.Config{Node: node})
		run(t, s)
		slow, slowEnded, _ := stream(t, s, "/v1/events")
		quick, quickEnded, hangUp := stream(t, s, "/v1/events")
		got := make(chan string, 1)
		go func() {
			var all []byte
			for {
				select {
				case p := <-quick:
					all = append(all, p...)
				case <-quickEnded:
					got <- string(all)
					return
				}
			}
		}()
		<-slow // "retry", and then it reads no more
		synctest.Wait()
		const n = 300
		for range n {
			node.emit(t, control.Event{Kind: control.KindForwarded})
			synctest.Wait()
		}
		hangUp()
		if sent := strings.Count(<-got, "event: forwarded"); sent != n {
			t.Errorf("the quick reader got %d events, want %d", sent, n)
		}

		var rest []byte
		for open := true; open; {
			select {
			case p := <-slow:
				rest = append(rest, p...)
			case <-slowEnded:
				open = false
			}
		}
		if sent := strings.Count(string(rest), "event: forwarded"); sent > 70 {
			t.Errorf("%d events were kept for the slow reader, want a bounded queue", sent)
		}
		if !strings.HasSuffix(string(rest), "event: dropped\ndata: {\"error\":\"this reader is too slow\"}\n\n") {
			t.Errorf("the slow reader was not told; last: %q", rest[max(0, len(rest)-80):])
		}
	})
}

// TestStreamBeats sends heartbeats always, statuses when asked.
func TestStreamBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := control.New(control.Config{Node: newFakeNode()})
		run(t, s)
		for target, want := range map[string]map[string]int{
			"/v1/events":          {": alive": 2, "event: status": 0},
			"/v1/events?status=1": {": alive": 2, "event: status": 12},
		} {
			wrote, ended, hangUp := stream(t, s, target)
			end := time.After(11*time.Second + time.Millisecond)
			var all []byte
			for open := true; open; {
				select {
				case p := <-wrote:
					all = append(all, p...)
				case <-end:
					hangUp()
				case <-ended:
					open = false
				}
			}
			for what, n := range want {
				if got := strings.Count(string(all), what); got != n {
					t.Errorf("%s: %d of %q in 11 s, want %d", target, got, what, n)
				}
			}
		}
	})
}

// TestStreamBurst bounds the statuses that a burst of events brings.
func TestStreamBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := newFakeNode()
		s := control.New(control.Config{Node: node})
		run(t, s)
		wrote, ended, hangUp := stream(t, s, "/v1/events?status=1")
		end, tick := time.After(time.Second), time.NewTicker(5*time.Millisecond)
		defer tick.Stop()
		statuses, events := 0, 0
		for open := true; open; {
			select {
			case p := <-wrote:
				statuses += bytes.Count(p, []byte("event: status"))
				events += bytes.Count(p, []byte("event: refused"))
			case <-tick.C:
				go func() {
					select {
					case node.events <- control.Event{Kind: control.KindRefused}:
					case <-ended:
					}
				}()
			case <-end:
				hangUp()
			case <-ended:
				open = false
			}
		}
		if statuses < 5 || statuses > 11 || events < 150 {
			t.Errorf("%d statuses for %d events in a second, want at most one per 100 ms", statuses, events)
		}
	})
}

func TestStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := control.New(control.Config{Node: newFakeNode()})
		run(t, s)
		for range 64 {
			wrote, _, hangUp := stream(t, s, "/v1/events")
			defer hangUp()
			<-wrote
		}
		if w := get(s, "/v1/events"); w.Code != http.StatusTooManyRequests {
			t.Errorf("the 65th stream: %d, want 429", w.Code)
		}
	})
}

func FuzzReadEvents(f *testing.F) {
	f.Add("retry: 1000\n\nid: 1-2\nevent: forwarded\ndata: {\"num\":1}\n\n: alive\n\ndata:a\ndata: b\n\n")
	f.Add("event\ndata\n\n")
	f.Add("\r\n:\n\ndata: \n\n")
	f.Fuzz(func(t *testing.T, text string) {
		total := 0
		err := control.ReadEvents(strings.NewReader(text), func(name string, data []byte) error {
			total += len(data) + len(name)
			var e control.Event
			_ = json.Unmarshal(data, &e)
			return nil
		})
		if err == nil {
			t.Error("a stream has no good end")
		}
		if total > len(text) {
			t.Errorf("%d bytes out of %d", total, len(text))
		}
	})
}

func TestReadEvents(t *testing.T) {
	var got []string
	err := control.ReadEvents(strings.NewReader("retry: 1\n\nevent: a\ndata: one\ndata:two\n\n: c\n\ndata: x\n\nevent: cut\ndata: y\n"), func(name string, data []byte) error {
		got = append(got, name+"="+string(data))
		return nil
	})
	if want := "a=one\ntwo|=x"; strings.Join(got, "|") != want || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func FuzzParseAddr(f *testing.F) {
	for _, s := range []string{"127.0.0.1:9870", "http://[::1]:9870/x/", "https://h", "h:1", "%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, addr string) {
		u, err := control.ParseAddr(addr)
		if err != nil {
			return
		}
		again, err := control.ParseAddr(u.String())
		if err != nil || again.String() != u.String() {
			t.Errorf("%q reads as %q, which reads as %v, %v", addr, u, again, err)
		}
	})
}
