package proctest_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/thinrelay/thinrelay/cluster/members"
	"github.com/thinrelay/thinrelay/cluster/transport"
)

// strangers knock at the members' port, again and again: they are refused,
// that is logged but not each time, and nobody is disturbed.
func (g *group) strangers() {
	t := g.t
	leader, before := g.leads()
	alien, forged := t.TempDir(), t.TempDir()
	if _, err := transport.WriteSet(alien, relayNames...); err != nil {
		t.Fatal(err)
	}
	pair, err := g.ca.Issue(transport.Issue{Node: "zz-9"})
	if err != nil {
		t.Fatal(err)
	}
	files := transport.FilesOf(forged, "zz-9")
	if err := pair.Write(files.Cert, files.Key); err != nil {
		t.Fatal(err)
	}
	other := relayNames[0]
	if other == leader {
		other = relayNames[1]
	}
	lines := len(g.relays[leader].log())
	for _, s := range []struct {
		who  string
		call func() error
	}{
		{"plain TCP", func() error { return g.knock(leader, nil) }},
		{"a certificate of another authority", func() error { return g.knock(leader, certificate(g, alien, other)) }},
		{"a certificate for no member", func() error { return g.knock(leader, certificate(g, forged, "zz-9")) }},
		{"no certificate", func() error { return g.knock(leader, g.trusting()) }},
	} {
		for range 20 {
			if err := s.call(); err == nil {
				t.Errorf("%s is let in", s.who)
				break
			}
		}
	}
	said := g.relays[leader].log()[lines:]
	if n := strings.Count(said, `"refused`); n == 0 || n > 20 {
		t.Errorf("%d lines about 80 refusals, want a few", n)
	}
	g.fourth()
	name, after := g.leads()
	if name != leader || after.Term != before.Term {
		g.overLimit("%s led in term %d, then %s in term %d: strangers have disturbed the group", leader, before.Term, name, after.Term)
	}
	if t.Failed() {
		t.Logf("log of %s meanwhile:\n%s", leader, said)
	}
	if _, lost := g.verdict(nil); len(lost) > 0 {
		g.overLimit("%d slots lost by strangers", len(lost))
	}
}

// trusting is a TLS configuration without a certificate.
func (g *group) trusting() *tls.Config {
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(filepath.Join(g.certs, "ca.pem"))
	if err != nil {
		g.t.Fatal(err)
	}
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, NextProtos: []string{"thinrelay-raft"}, MinVersion: tls.VersionTLS13}
}

// certificate is a TLS configuration with one, which trusts the group.
func certificate(g *group, dir, node string) *tls.Config {
	files := transport.FilesOf(dir, node)
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		g.t.Fatal(err)
	}
	c := g.trusting()
	c.Certificates = []tls.Certificate{pair}
	return c
}

// knock calls a member's port, says something and expects to be hung up on: the
// error is what it was told. nil: there was an answer.
func (g *group) knock(member string, conf *tls.Config) error {
	d := net.Dialer{Timeout: 3 * time.Second}
	c, err := d.Dial("tcp", g.cluster[member])
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(15 * time.Second))
	if conf != nil {
		conf = conf.Clone()
		conf.ServerName = member
		tc := tls.Client(c, conf)
		if err := tc.Handshake(); err != nil {
			return err
		}
		c = tc
	}
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

// fourth runs a relay that has the members' addresses, and certificates and a
// gossip key of its own.
func (g *group) fourth() {
	t := g.t
	dir := t.TempDir()
	if _, err := transport.WriteSet(dir, "no-1"); err != nil {
		t.Fatal(err)
	}
	if err := members.WriteKeyFile(filepath.Join(dir, "gossip.key")); err != nil {
		t.Fatal(err)
	}
	const host = "127.0.2.9"
	yaml := fmt.Sprintf(`producers: [bpa]
downstream: {listen: %q}
upstream: {peers: [%q]}
cluster:
  listen: %q
  gossip: %q
  join: [%q, %q]
  bootstrap_expect: 3
  tls: {ca: %q, cert: %q, key: %q}
  gossip_key_file: %q
`, freeAddr(t, host), g.net.Upstream(1).Addr(), freeAddr(t, host), freeAddr(t, host), g.gossip["eu-1"], g.gossip["us-1"],
		filepath.Join(dir, "ca.pem"), filepath.Join(dir, "no-1.pem"), filepath.Join(dir, "no-1-key.pem"), filepath.Join(dir, "gossip.key"))
	r := newRelay(t, "no-1", freeAddr(t, host), yaml)
	r.start(t)
	pass(8 * time.Second)
	s, ok := r.status()
	if !ok {
		t.Error("a relay that is not let in does not answer")
	}
	if s.Quorum.OK || s.Leader != "" || r.logged("block forwarded") != 0 || r.logged("this member leads") != 0 {
		t.Errorf("a relay without the group's key has leader %q, quorum %+v", s.Leader, s.Quorum)
	}
	for _, m := range g.relays {
		if m.pid() == 0 {
			t.Errorf("%s has ended", m.name)
		}
		if s, ok := m.status(); ok && len(s.Members) != len(relayNames) {
			t.Errorf("%s counts %d members", m.name, len(s.Members))
		}
	}
}
