package ctl

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/thinrelay/thinrelay/cluster/transport"
	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/upstream"
)

func TestPreflightDisk(t *testing.T) {
	dir := t.TempDir()
	times, err := measureDisk(t.Context(), dir)
	if err != nil || len(times) == 0 {
		t.Errorf("%d writes, %v", len(times), err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("left behind: %v %v", files, err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "nowhere"), file} {
		wantGrades(t, fly(t, &preflight{dataDir: path}), "disk at "+path, levelFail)
	}
	for p99, want := range map[time.Duration]level{20 * time.Millisecond: levelOK, 21 * time.Millisecond: levelWarn, 100 * time.Millisecond: levelWarn, 101 * time.Millisecond: levelFail} {
		times := make([]time.Duration, 100)
		times[3], times[50] = time.Minute, p99 // the worst of a hundred does not count
		var c checks
		judgeWrites(&c, "disk", times)
		if c[0].Level != want {
			t.Errorf("p99 %s: %s, want %s", p99, c[0].Level, want)
		}
	}
}

// member opens the cluster port of a member with the certificate of another folder or name.
func member(t *testing.T, dir, node string, allowed func(string) bool) string {
	t.Helper()
	files := transport.FilesOf(dir, node)
	tr, err := transport.Open(transport.Config{Node: node, Listen: "127.0.0.1:0", CA: files.CA, Cert: files.Cert, Key: files.Key, Allowed: allowed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	return tr.Addr().String()
}

func TestPreflightMembers(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	dir, foreign := t.TempDir(), t.TempDir()
	ca, err := transport.WriteSet(dir, "eu-1", "us-1", "ap-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := transport.WriteSet(foreign, "us-1"); err != nil {
		t.Fatal(err)
	}
	short := transport.FilesOf(dir, "sa-1")
	pair, err := ca.Issue(transport.Issue{Node: "sa-1", Life: 10 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := pair.Write(short.Cert, short.Key); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { // an HTTP server, say
		defer close(served)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			c.Close()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-served
	})

	us := member(t, dir, "us-1", nil)
	peers := map[string]struct {
		addr, says string
		want       level
	}{
		"us-1": {us, "is us-1", levelOK},
		"de-1": {member(t, dir, "ap-1", nil), `want "de-1"`, levelFail},
		"sa-1": {member(t, dir, "sa-1", nil), "ends on", levelWarn},
		"ca-1": {member(t, foreign, "us-1", nil), "another CA", levelFail},
		"no-1": {member(t, dir, "us-1", func(name string) bool { return name != "eu-1" }), "", levelFail},
		"eu-1": {"127.0.0.1:1", "does not connect to itself", levelWarn},
		"ht-1": {ln.Addr().String(), "TLS", levelFail},
		"dd-1": {deadAddr(t), "cannot connect", levelFail},
	}
	var flags []string
	for name, peer := range peers {
		flags = append(flags, name+"="+peer.addr)
	}
	mine := transport.FilesOf(dir, "eu-1")
	r := fly(t, &preflight{peerFlags: flags, ca: mine.CA, cert: mine.Cert, key: mine.Key})
	for name, peer := range peers {
		what := "cluster port of " + name
		wantGrades(t, r, what, peer.want)
		for _, c := range r.Checks {
			if c.What == what && !strings.Contains(c.Finding, peer.says) {
				t.Errorf("%s: %q, want it to say %q", what, c.Finding, peer.says)
			}
		}
	}
	wantGrades(t, r, "certificate "+mine.Cert, levelOK)
	wantGrades(t, r, "CA "+mine.CA, levelOK)

	// A member that does not know us says so only after the handshake.
	shut := member(t, dir, "us-1", func(name string) bool { return name != "eu-1" })
	r = fly(t, &preflight{peerFlags: []string{"us-1=" + shut}, ca: mine.CA, cert: mine.Cert, key: mine.Key})
	wantGrades(t, r, "cluster port of us-1", levelFail)
	if last := r.Checks[len(r.Checks)-1]; !strings.Contains(last.Finding, "refuses our certificate") {
		t.Errorf("refused: %+v", last)
	}

	// Without a certificate it is a port.
	wantGrades(t, fly(t, &preflight{peerFlags: []string{"us-1=" + us}}), "cluster port of us-1", levelOK)

	// Files that do not fit are told before anybody is dialled.
	other := transport.FilesOf(foreign, "us-1")
	for _, files := range []transport.Files{
		{CA: other.CA, Cert: mine.Cert, Key: mine.Key},
		{CA: mine.CA, Cert: mine.Cert, Key: other.Key},
		{CA: mine.CA, Cert: mine.Key, Key: mine.Key},
		{CA: mine.CA, Cert: mine.CA, Key: mine.Key},
		{CA: mine.CA, Cert: "nowhere.pem", Key: mine.Key},
	} {
		r := fly(t, &preflight{peerFlags: []string{"us-1=" + us}, ca: files.CA, cert: files.Cert, key: files.Key})
		wantGrades(t, r, "certificate "+files.Cert, levelFail)
	}
}

// TestPreflightUpstreams shakes hands with simulated nodeos over sockets.
func TestPreflightUpstreams(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	var chains []string
	network := func(cfg simnet.Config) string {
		cfg.NoSignatures, cfg.Upstreams, cfg.History = true, 1, 40
		w, err := simnet.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.Close)
		chains = append(chains, w.Chain.ID.String())
		return w.Addrs()[0]
	}
	open := network(simnet.Config{Seed: "a", MaxNodesPerHost: 4})
	single := network(simnet.Config{Seed: "a", MaxNodesPerHost: 1})
	old := network(simnet.Config{Seed: "a", MaxNodesPerHost: 4, Release: simnet.Leap5})
	foreign := network(simnet.Config{Seed: "b", MaxNodesPerHost: 4})
	all := []string{open, single, old, foreign, deadAddr(t)}
	r := fly(t, &preflight{upstreams: all, chainID: chains[0], inspect: upstream.Inspect})
	wantGrades(t, r, "handshake with "+open, levelOK)
	wantGrades(t, r, "handshake with "+single, levelWarn)
	wantGrades(t, r, "handshake with "+old, levelWarn)
	wantGrades(t, r, "handshake with "+foreign, levelFail)
	wantGrades(t, r, "handshake with "+all[4], levelFail)
	wantGrades(t, r, "clock of this host", levelOK)
	if r.exit() != exitDegraded {
		t.Errorf("exit %d", r.exit())
	}
	// Who does not know the chain learns nothing, and is told what to do.
	r = fly(t, &preflight{upstreams: []string{open}, inspect: upstream.Inspect})
	wantGrades(t, r, "handshake with "+open, levelWarn)
}
