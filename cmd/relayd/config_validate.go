package main

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/thinrelay/thinrelay/cluster/transport"
)

// Limits of what an operator may set.
const (
	maxUpstreams       = 64
	maxMembers         = 15
	maxLateAfter       = 500 * time.Millisecond // one slot: later than that it is simply missed
	minUnresolvedAfter = time.Second
	minHeartbeat       = 50 * time.Millisecond
	maxHeartbeat       = 10 * time.Second
)

// validate is every mistake in c that can be seen without opening a file or a socket.
func validate(c *Config) []mistake {
	v := &validator{}
	v.identity(c)
	v.downstream(&c.Downstream)
	v.upstream(&c.Upstream)
	v.cluster(c)
	v.failover(c)
	v.http(&c.HTTP)
	v.oneOf("log.level", c.Log.Level, "trace", "debug", "info", "warn", "error")
	v.oneOf("log.format", c.Log.Format, "text", "json")
	v.listeners(c)
	return v.mistakes
}

type validator struct{ mistakes []mistake }

func (v *validator) wrong(key, format string, args ...any) {
	v.mistakes = append(v.mistakes, mistake{key: key, text: fmt.Sprintf(format, args...)})
}

// itemKey is the key of one item of a list.
func itemKey(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }

func (v *validator) identity(c *Config) {
	switch {
	case c.Node == "":
		v.wrong("node", "is not set; give this relay a name of its own in the group, such as eu-1")
	case transport.ValidName(c.Node) != nil:
		v.wrong("node", "%q cannot stand in a certificate; use letters, digits, dashes and dots, at most 63 and no dash or dot first, such as eu-1", c.Node)
	}
	if c.Region != "" && transport.ValidName(c.Region) != nil {
		v.wrong("region", "%q is not a plain word; use letters, digits and dashes, such as eu", c.Region)
	}
	if c.DataDir == "" {
		v.wrong("data_dir", "is empty; name the folder for Raft's log and the pinned chain id, such as /var/lib/relayd")
	}
	if c.ChainID != "" {
		if _, err := parseChainID(c.ChainID); err != nil {
			v.wrong("chain_id", "%v", err)
		}
	}
	if len(c.Producers) == 0 {
		v.wrong("producers", "is empty; list the producer accounts that your replicas sign for: blocks of no other account are forwarded")
	}
	for i, name := range c.Producers {
		if name != "" && !isAccount(name) {
			v.wrong(itemKey("producers", i), "%q is not an account name; it has up to 12 of the characters a-z, 1-5 and dot, and no dot at its end", name)
		}
	}
	v.distinct("producers", c.Producers)
}

func (v *validator) downstream(d *DownstreamConfig) {
	v.listen("downstream.listen", d.Listen)
	if len(d.Allow) == 0 {
		v.wrong("downstream.allow", "is empty, so no replica could connect; list the networks they dial from, such as 10.0.0.0/8")
	}
	for i, text := range d.PeerKeys {
		if _, err := parsePublicKey(text); text != "" && err != nil {
			v.wrong(itemKey("downstream.peer_keys", i), "%q is no usable public key (%v); write the replica's K1 public key as EOS… or PUB_K1_…", text, err)
		}
	}
	v.distinct("downstream.peer_keys", d.PeerKeys)
	v.distinct("downstream.observers", d.Observers)
}

func (v *validator) upstream(u *UpstreamConfig) {
	if len(u.Peers) == 0 {
		v.wrong("upstream.peers", "is empty; list the p2p addresses of two or more nodeos of the network, such as seed1:9876")
	}
	if len(u.Peers) > maxUpstreams {
		v.wrong("upstream.peers", "lists %d addresses; at most %d are dialled, keep the nearest", len(u.Peers), maxUpstreams)
	}
	for i, peer := range u.Peers {
		v.dial(itemKey("upstream.peers", i), peer, "9876")
	}
	v.distinct("upstream.peers", u.Peers)
}

func (v *validator) cluster(c *Config) {
	g := &c.Cluster
	const howMany = "write how many relays form the group: 3 or 5, 1 for a single relay, or 0 to join a group that exists"
	switch {
	case g.BootstrapExpect == bootstrapUnset:
		v.wrong("cluster.bootstrap_expect", "is not set; %s", howMany)
	case g.BootstrapExpect < 0 || g.BootstrapExpect > maxMembers:
		v.wrong("cluster.bootstrap_expect", "is %d; %s", g.BootstrapExpect, howMany)
	case g.BootstrapExpect == 0 && len(g.Join) == 0:
		v.wrong("cluster.join", "is empty while cluster.bootstrap_expect is 0, so there is no group to join; list the gossip addresses of its members")
	case g.BootstrapExpect == 1 && len(g.Join) > 0:
		v.wrong("cluster.bootstrap_expect", "is 1 while cluster.join lists others, which would form a second group beside theirs; %s", howMany)
	}
	v.listen("cluster.listen", g.Listen)
	v.listen("cluster.gossip", g.Gossip)
	switch host, _, err := net.SplitHostPort(g.Listen); {
	case g.Advertise != "":
		v.advertise("cluster.advertise", g.Advertise)
	case err == nil && isUnspecified(host) && len(g.Join) == 0 && g.BootstrapExpect > 0 && !c.Alone():
		// AdvertiseAddr has no route to look at.
		v.wrong("cluster.advertise", "is not set, and neither cluster.listen nor a member in cluster.join tells it; write the address at which the other members reach this one")
	}
	if g.Timeouts != 0 && (g.Timeouts.Duration() < minHeartbeat || g.Timeouts.Duration() > maxHeartbeat) {
		v.wrong("cluster.timeouts", "%s is out of bounds; write auto, or a heartbeat between %s and %s", g.Timeouts, minHeartbeat, maxHeartbeat)
	}
	for i, member := range g.Join {
		if v.dial(itemKey("cluster.join", i), member, "7946") && joinsItself(c, member) {
			v.wrong(itemKey("cluster.join", i), "%q is this node itself; list only the other members", member)
		}
	}
	v.distinct("cluster.join", g.Join)
	if g.BootstrapExpect <= 1 && len(g.Join) == 0 && g.TLS == (TLSConfig{}) {
		return // a group of one, or of a size not yet known
	}
	for _, file := range []struct{ key, path, what string }{
		{"cluster.tls.ca", g.TLS.CA, "the certificate of the group's authority"},
		{"cluster.tls.cert", g.TLS.Cert, "this node's certificate"},
		{"cluster.tls.key", g.TLS.Key, "this node's private key"},
		{"cluster.gossip_key_file", g.GossipKeyFile, "the file with the key that all members gossip with"},
	} {
		if file.path == "" {
			v.wrong(file.key, "is not set; name %s (relayctl certs makes it)", file.what)
		}
	}
}

// joinsItself reports a join address that leads back to this node, as far as its text tells.
func joinsItself(c *Config, member string) bool {
	host, port, _ := net.SplitHostPort(member)
	gossipHost, gossipPort, _ := net.SplitHostPort(c.Cluster.Gossip)
	if port != gossipPort {
		return false
	}
	own := []string{c.Node, hostOf(c.Cluster.Advertise)}
	if !isUnspecified(gossipHost) {
		own = append(own, gossipHost)
	}
	return slices.ContainsFunc(own, func(name string) bool { return strings.EqualFold(name, host) })
}

func (v *validator) failover(c *Config) {
	f := &c.Failover
	v.oneOf("failover.mode", f.Mode, ModeVotes, ModePassive)
	if f.LateAfter <= 0 || f.LateAfter > maxLateAfter {
		v.wrong("failover.late_after", "%s is out of bounds; a block is late some time within one slot: write more than 0s and at most %s", f.LateAfter, maxLateAfter)
	}
	if f.UnresolvedAfter != 0 && f.UnresolvedAfter < minUnresolvedAfter {
		v.wrong("failover.unresolved_after", "%s is too short for a network to answer in; write 0s (wait for the network) or at least %s", f.UnresolvedAfter, minUnresolvedAfter)
	}
	v.distinct("failover.prefer", f.Prefer)
	observers := map[string]bool{}
	for _, name := range c.Downstream.Observers {
		observers[name] = name != ""
	}
	for i, name := range f.Prefer {
		if observers[name] {
			v.wrong(itemKey("failover.prefer", i), "%q is an observer and never active; remove it here or in downstream.observers", name)
		}
	}
}

func (v *validator) http(h *HTTPConfig) {
	v.listen("http.listen", h.Listen)
	if h.TLS == (TLSConfig{}) {
		return
	}
	if h.TLS.Cert == "" {
		v.wrong("http.tls.cert", "is not set while other keys of http.tls are; name the certificate to serve with")
	}
	if h.TLS.Key == "" {
		v.wrong("http.tls.key", "is not set while other keys of http.tls are; name the private key of http.tls.cert")
	}
}

// listeners checks the listen addresses together: none may take another's port. Gossip uses TCP as well as UDP.
func (v *validator) listeners(c *Config) {
	all := []struct{ key, addr string }{{"downstream.listen", c.Downstream.Listen}, {"http.listen", c.HTTP.Listen}}
	if !c.Alone() {
		all = append(all, []struct{ key, addr string }{{"cluster.listen", c.Cluster.Listen}, {"cluster.gossip", c.Cluster.Gossip}}...)
	}
	for i := range all {
		for j := range i {
			if clash(all[i].addr, all[j].addr) {
				v.wrong(all[i].key, "%q takes the port of %s (%s); give each its own", all[i].addr, all[j].key, all[j].addr)
			}
		}
	}
}

// clash reports two listen addresses that cannot both be bound.
func clash(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return sameHost(hostA, hostB) || isUnspecified(hostA) || isUnspecified(hostB)
}

// sameHost sees through the ways to write an address of this host.
func sameHost(a, b string) bool {
	plain := func(host string) string {
		if host == "localhost" {
			return "127.0.0.1" // where Go listens then, if this host has it
		}
		if ip, err := netip.ParseAddr(host); err == nil {
			return ip.Unmap().String()
		}
		return host
	}
	return plain(a) == plain(b)
}

// listen checks an address to listen on; the host may be empty (all of them), port 0 takes any free port.
func (v *validator) listen(key, addr string) {
	host, port, err := net.SplitHostPort(addr)
	switch {
	case addr == "":
		v.wrong(key, "is empty; write address:port, such as 0.0.0.0:9876 for all addresses of this host")
	case err != nil:
		v.wrong(key, "%q is no address to listen on; write address:port, such as 0.0.0.0:9876 (IPv6 in brackets: [::]:9876)", addr)
	case host != "" && host != "localhost" && net.ParseIP(host) == nil:
		v.wrong(key, "%q is a name; write an address of this host, or 0.0.0.0 for all of them", host)
	case !isPort(port) && port != "0":
		v.wrong(key, "%q is no port; write a number between 1 and 65535", port)
	}
}

// dial checks an address to dial and reports whether it is one.
func (v *validator) dial(key, addr, port string) bool {
	host, got, err := net.SplitHostPort(addr)
	switch {
	case addr == "": // reported as an empty item
		return false
	case strings.HasSuffix(addr, ":blk") || strings.HasSuffix(addr, ":trx"):
		v.wrong(key, "%q ends in a nodeos suffix; write host:port alone", addr)
	case err != nil && !strings.Contains(addr, ":"):
		v.wrong(key, "%q has no port; write %s:%s or the port it listens on", addr, addr, port)
	case err != nil || strings.ContainsAny(host, " /"):
		v.wrong(key, "%q is not an address; write host:port, such as host:%s (IPv6 in brackets: [2001:db8::1]:%s)", addr, port, port)
	case host == "" || isUnspecified(host):
		v.wrong(key, "%q names no host; write host:port, such as host:%s", addr, port)
	case !isPort(got):
		v.wrong(key, "%q is no port; write a number between 1 and 65535", got)
	default:
		return true
	}
	return false
}

// advertise checks an address for others to dial, whose port may be left out.
func (v *validator) advertise(key, addr string) {
	host := hostOf(addr)
	_, port, err := net.SplitHostPort(addr)
	switch {
	case host == "" || isUnspecified(host) || strings.ContainsAny(host, " /"):
		v.wrong(key, "%q is not an address others can dial; write the host or host:port they reach cluster.listen at, or leave it empty", addr)
	case err == nil && !isPort(port):
		v.wrong(key, "%q is no port; write a number between 1 and 65535", port)
	}
}

func (v *validator) oneOf(key, got string, choices ...string) {
	for _, choice := range choices {
		if got == choice {
			return
		}
	}
	v.wrong(key, "%q is not known; write one of %s", got, strings.Join(choices, ", "))
}

// distinct reports items that stand in a list twice.
func (v *validator) distinct(key string, items []string) {
	first := map[string]int{}
	for i, it := range items {
		if j, ok := first[it]; ok && it != "" {
			v.wrong(itemKey(key, i), "%q is there twice, see [%d]; remove one", it, j)
			continue
		}
		first[it] = i
	}
}

// hostOf is the host of an address whose port may be missing.
func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return strings.Trim(addr, "[]")
}

// isUnspecified reports a host that stands for all addresses of this machine.
func isUnspecified(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// isLoopback reports an address that only this host reaches.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

// isAccount reports the name of an account as a producer has one.
func isAccount(text string) bool {
	if len(text) == 0 || len(text) > 12 || text[len(text)-1] == '.' {
		return false
	}
	for _, r := range text {
		if (r < 'a' || r > 'z') && (r < '1' || r > '5') && r != '.' {
			return false
		}
	}
	return true
}
