package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/thinrelay/thinrelay/cluster/storage"
	"github.com/thinrelay/thinrelay/relay/control"
)

// Level says what a finding means for the relay.
type Level string

// The levels of a finding.
const (
	OK   Level = "ok"
	Warn Level = "warn" // it runs, but not as one would wish
	Fail Level = "fail" // it will not run
)

// Finding is one thing that relayd check looked at.
type Finding struct {
	Level Level  `json:"level"`
	What  string `json:"what"` // the key or the file
	Text  string `json:"text"` // what was found and, unless all is well, what to do
}

// Check examines a configuration and the files that it names, at the time now. It opens no socket, so it can run beside
// the relay. A relay whose findings hold no Fail starts.
func Check(path string, environ []string, now time.Time) []Finding {
	c, err := LoadConfig(path, environ)
	if err != nil {
		var mistakes *ConfigError
		if !errors.As(err, &mistakes) {
			return []Finding{{Fail, "config", err.Error()}}
		}
		var found []Finding
		for _, m := range mistakes.mistakes {
			found = append(found, Finding{Fail, "config", m.String()})
		}
		return found
	}
	k := &checker{now: now}
	k.ok("config", "every key is understood")
	k.dataDir(c.DataDir, c.Node)
	k.pinned(&c)
	k.secrets(&c)
	k.peerKey(&c)
	k.group(&c)
	k.serving(c.HTTP.TLS)
	k.exposure(&c)
	return k.findings
}

type checker struct {
	now      time.Time
	findings []Finding
}

func (k *checker) add(level Level, what, format string, args ...any) {
	k.findings = append(k.findings, Finding{level, what, fmt.Sprintf(format, args...)})
}
func (k *checker) ok(what, format string, args ...any)   { k.add(OK, what, format, args...) }
func (k *checker) warn(what, format string, args ...any) { k.add(Warn, what, format, args...) }
func (k *checker) fail(what, format string, args ...any) { k.add(Fail, what, format, args...) }

func (k *checker) dataDir(dir, node string) {
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		k.fail("data_dir", "%s is a file; name a folder", dir)
	case err == nil:
		probe, err := os.CreateTemp(dir, ".check-*")
		if err != nil {
			k.fail("data_dir", "cannot write to %s; give it to the user that relayd runs as: %v", dir, err)
			return
		}
		probe.Close()
		os.Remove(probe.Name())
		if err := storage.Inspect(dir, node); err != nil {
			k.fail("data_dir", "%v", err)
			return
		}
		k.ok("data_dir", "%s can be written", dir)
	case errors.Is(err, fs.ErrNotExist):
		if info, err := os.Stat(filepath.Dir(dir)); err != nil || !info.IsDir() {
			k.fail("data_dir", "neither %s nor the folder it would be made in exists; make it and give it to the user that relayd runs as", dir)
			return
		}
		probe, err := os.MkdirTemp(filepath.Dir(dir), ".check-*")
		if err != nil { // whoever starts relayd may make it, as systemd does
			k.warn("data_dir", "%s does not exist, and this user cannot make it; make it and give it to the user that relayd runs as: %v", dir, err)
			return
		}
		os.Remove(probe)
		k.ok("data_dir", "%s will be made at the first start", dir)
	default:
		k.fail("data_dir", "%v", err)
	}
}

// pinned looks at the chain id that an earlier start has pinned.
func (k *checker) pinned(c *Config) {
	if info, err := os.Stat(c.DataDir); c.ChainID != "" || err != nil || !info.IsDir() {
		return
	}
	chain, err := pinnedChain(*c)
	if err != nil {
		k.fail("chain_id", "%v", err)
		return
	}
	if id, ok := chain.Get(); ok {
		k.ok("chain_id", "learned from an upstream and pinned: %s", id)
	}
}

// tokenFileKey is the one file without which relayd runs: it reads the token when somebody shows one.
const tokenFileKey = "http.token_file"

// secrets checks that every file the configuration names can be read, and the secret ones by their owner only.
func (k *checker) secrets(c *Config) {
	for _, key := range configKeys(c) {
		path := key.value
		if key.file == "" || key.file == "dir" || path.String() == "" {
			continue
		}
		f, err := os.Open(path.String())
		bad := k.fail
		if key.path == tokenFileKey {
			bad = k.warn
		}
		switch {
		case errors.Is(err, fs.ErrPermission):
			bad(key.path, "%v; give it, and the folders above it, to the user that relayd runs as, and check as that user", err)
			continue
		case err != nil:
			bad(key.path, "%v; make the file or mend the path", err)
			continue
		}
		info, err := f.Stat()
		f.Close()
		if err != nil || !info.Mode().IsRegular() {
			bad(key.path, "%s is not a file", path)
			continue
		}
		if key.file == "secret" && info.Mode().Perm()&0o077 != 0 {
			k.warn(key.path, "others can read %s (mode %04o); chmod 600 it", path, info.Mode().Perm())
		}
	}
}

func (k *checker) peerKey(c *Config) {
	key, err := c.UpstreamKey()
	switch {
	case errors.Is(err, fs.ErrNotExist): // reported with the files
	case err != nil:
		k.fail("upstream.peer_key_file", "%v", err)
	case key != nil:
		k.ok("upstream.peer_key_file", "upstreams must list %s as peer-key", key.PublicKey())
	}
	if path := c.HTTP.TokenFile; path != "" {
		if _, err := control.ReadToken(path); errors.Is(err, control.ErrToken) {
			k.warn(tokenFileKey, "%s holds fewer than 16 characters; write a longer token, such as openssl rand -hex 32 makes", path)
		}
	}
}

func (k *checker) group(c *Config) {
	g := &c.Cluster
	if len(c.Upstream.Peers) == 1 {
		k.warn("upstream.peers", "one upstream only: when it is down, so is the relay's way out; list a second one on another host")
	}
	if c.Alone() {
		k.warn("cluster", "this relay is a group of one: when it is down, no block leaves; a group of three survives the loss of one")
		return
	}
	if g.BootstrapExpect > 1 && g.BootstrapExpect%2 == 0 {
		k.warn("cluster.bootstrap_expect", "a group of %d survives the loss of %s, as one of %d would; form it with an odd number of relays", g.BootstrapExpect, lossText((g.BootstrapExpect-1)/2), g.BootstrapExpect-1)
	}
	if n := len(g.Join) + 1; g.BootstrapExpect > 1 && n < g.BootstrapExpect {
		k.warn("cluster.join", "lists %d of the %d other members that the group forms with; list them all, so that it forms whichever starts first", len(g.Join), g.BootstrapExpect-1)
	}
	k.reached(g)
	if _, err := c.GossipKeys(); errors.Is(err, ErrGossipKey) {
		k.fail("cluster.gossip_key_file", "%v; relayctl certs makes it", err)
	}
	k.member(g.TLS, c.Node)
}

// reached warns of addresses that only this host reaches, where other hosts are to be joined.
func (k *checker) reached(g *ClusterConfig) {
	local := func(addr string) bool { host := hostOf(addr); return host == "localhost" || isLoopback(host) }
	if !slices.ContainsFunc(g.Join, func(member string) bool { return !local(member) }) {
		return // all of the group is on this host, as in a test
	}
	const remedy = "%s is reached from this host alone, and cluster.join lists others; write an address that they reach"
	if g.Advertise != "" && local(g.Advertise) {
		k.warn("cluster.advertise", remedy, g.Advertise)
	}
	if local(g.Listen) {
		k.warn("cluster.listen", remedy, g.Listen)
	}
	if local(g.Gossip) {
		k.warn("cluster.gossip", remedy, g.Gossip)
	}
}

func lossText(n int) string {
	if n == 0 {
		return "none"
	}
	return strconv.Itoa(n)
}

// exposure points out doors that are wider than they need be.
func (k *checker) exposure(c *Config) {
	for _, prefix := range c.Downstream.Allow {
		if prefix.Bits() == 0 {
			k.warn("downstream.allow", "%s lets every host connect as a replica; list the networks of your replicas", prefix)
		}
	}
	if host := hostOf(c.HTTP.Listen); host != "localhost" && !isLoopback(host) && c.HTTP.TLS == (TLSConfig{}) {
		k.warn("http.listen", "%s is reachable from other hosts without TLS: status and metrics are open to them; listen on 127.0.0.1 or set http.tls", c.HTTP.Listen)
	}
	if c.Failover.UnresolvedAfter > 0 {
		k.warn("failover.unresolved_after", "gives up waiting for the network after %s; right only on a chain where nobody else produces", c.Failover.UnresolvedAfter)
	}
}
