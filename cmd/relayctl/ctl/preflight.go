package ctl

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/thinrelay/thinrelay/cluster/transport"
	"github.com/thinrelay/thinrelay/relay/control"
	"github.com/thinrelay/thinrelay/relay/upstream"
)

// maxProbes bounds the addresses of one kind, so that no slip of the pen dials a network.
const maxProbes = 64

// preflight is what stands between an installed group and one that goes live.
type preflight struct {
	app     *app
	inspect func(context.Context, upstream.Config, string) (upstream.Report, error)

	upstreams, ports, peerFlags []string
	ca, cert, key               string
	dataDir, chainID            string
	offline                     bool
	watchFor                    time.Duration

	peers []peerAddr // from peerFlags
	seen  sighting
}

// peerAddr is a member and where its cluster.listen is reached.
type peerAddr struct{ name, addr string }

func (a *app) preflightCommand() *cobra.Command {
	p := &preflight{app: a, inspect: upstream.Inspect}
	cmd := &cobra.Command{
		Use:   "preflight",
		Short: "Look at everything that must be right before going live",
		Long: `Look at everything that must be right before going live, and say what to do about
what is not. Nothing is changed.

From the members of --addr it learns: quorum, members and their versions, round
trips, disks, clocks, upstreams, replicas, observers, and whether the standbys
obey the vote gate. Name the leader there, better all members: each knows its
own round trips only, and the leader alone sees what is refused.

From this host it tries, for what the flags name:
  --data-dir   write and sync 100 blocks of 4 KiB there, in a file of its own
  --peer       TLS with a member's cluster.listen as relayd does it: right name,
               right CA, certificates that last. Needs --ca, --cert and --key, the
               files of this host's member; without them, whether it is open
  --port       whether any other TCP port is open: 9876 from a replica's host,
               7946 from a relay's
  --upstream   a p2p handshake: chain, head, version, clock, and whether a second
               connection is accepted. Without the flag the relay's own upstreams.
               nodeos tells strangers nothing: --chain-id where no relay knows it

With --watch it first listens to those members, best over a round of ours, for
blocks that standbys sign although they hear no votes.

Run it on the host of each relay: what is open from there is what counts.

Exit code: 0 nothing failed, 1 something failed, 2 no quorum or no answer.`,
		Example: `  relayctl preflight
  relayctl --addr eu-1:9870,us-1:9870,ap-1:9870 preflight
  relayctl preflight --watch 3m
  relayctl preflight --data-dir /var/lib/relayd --peer us-1=192.0.2.2:8300 --peer ap-1=192.0.2.3:8300 --ca ca.pem --cert eu-1.pem --key eu-1-key.pem
  relayctl preflight --offline --upstream seed1:9876 --upstream seed2:9876 --chain-id aca376f206b8fc25a6ed44dbdc66547c36c6c33e3a119ffbeaef943642f0e906`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.validate(); err != nil {
				return err
			}
			report, err := p.run(cmd.Context())
			if err != nil {
				return err
			}
			if a.asJSON {
				err = a.printJSON(report)
			} else {
				_, err = fmt.Fprint(a.out, report.render(a.colours))
			}
			if err != nil {
				return err
			}
			return exitWith(report.exit())
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&p.upstreams, "upstream", nil, "host:port of an upstream to shake hands with (repeatable)")
	f.StringVar(&p.chainID, "chain-id", "", "our chain, 64 hex digits, for the handshakes; by default the relay's")
	f.StringArrayVar(&p.peerFlags, "peer", nil, "NAME=host:port of another member's cluster.listen (repeatable)")
	f.StringArrayVar(&p.ports, "port", nil, "host:port of any TCP port that must be open from here (repeatable)")
	f.StringVar(&p.ca, "ca", "", "cluster.tls.ca of this host's member")
	f.StringVar(&p.cert, "cert", "", "cluster.tls.cert of this host's member")
	f.StringVar(&p.key, "key", "", "cluster.tls.key of this host's member")
	f.StringVar(&p.dataDir, "data-dir", "", "data_dir of this host's member, to measure its disk")
	f.DurationVar(&p.watchFor, "watch", 0, "listen to the members for so long; on a chain of 21 producers a round of ours comes every 126 s")
	f.BoolVar(&p.offline, "offline", false, "ask no relay: only what the flags name")
	return cmd
}

func (p *preflight) validate() error {
	for _, list := range [][]string{p.upstreams, p.ports, p.peerFlags} {
		if len(list) > maxProbes {
			return fail(exitDegraded, "%d addresses of one kind\n  next: name at most %d", len(list), maxProbes)
		}
	}
	for flag, list := range map[string][]string{"upstream": p.upstreams, "port": p.ports} {
		for _, addr := range list {
			if !hostPort(addr) {
				return fail(exitDegraded, "--%s %q\n  next: write it as host:port", flag, addr)
			}
		}
	}
	if _, ok := parseChain(p.chainID); p.chainID != "" && !ok {
		return fail(exitDegraded, "--chain-id %q\n  next: write the 64 hex digits of chain_id in get_info", p.chainID)
	}
	p.peers = nil
	for _, text := range p.peerFlags {
		name, addr, _ := strings.Cut(text, "=")
		if transport.ValidName(name) != nil || !hostPort(addr) {
			return fail(exitDegraded, "--peer %q\n  next: write it as NAME=host:port, with the node: and the cluster.listen of the member", text)
		}
		if slices.ContainsFunc(p.peers, func(other peerAddr) bool { return other.addr == addr }) {
			return fail(exitDegraded, "--peer %q: another member has this address\n  next: give each member its own", text)
		}
		p.peers = append(p.peers, peerAddr{name, addr})
	}
	if p.watchFor < 0 || p.watchFor > 0 && p.offline {
		return fail(exitDegraded, "--watch %s\n  next: give a duration such as 3m, and not --offline", p.watchFor)
	}
	if n := len(p.ca) * len(p.cert) * len(p.key); n == 0 && p.ca+p.cert+p.key != "" {
		return fail(exitDegraded, "--ca, --cert and --key belong together\n  next: give the three files of cluster.tls")
	}
	if p.offline && len(p.upstreams)+len(p.ports)+len(p.peers) == 0 && p.dataDir == "" && p.cert == "" {
		return fail(exitDegraded, "--offline, and nothing to try\n  next: add --upstream, --peer, --port, --cert or --data-dir")
	}
	return nil
}

func hostPort(addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	n, portErr := strconv.ParseUint(port, 10, 16)
	return err == nil && host != "" && portErr == nil && n > 0
}

// run asks the members, then tries everything else at once.
func (p *preflight) run(ctx context.Context) (preflightReport, error) {
	var group, disk, mesh, ports, outside checks
	var views []view
	report := preflightReport{NotChecked: []string{}}
	if !p.offline {
		clients, err := p.app.clients()
		if err != nil {
			return report, err
		}
		if views, err = askAll(ctx, clients, &group); err != nil {
			return report, err
		}
		p.lookAgain(ctx, views)
		p.watch(ctx, views)
		report.down = len(views) == 0 || !views[0].status.Quorum.OK || views[0].status.Leader == ""
	}
	var st control.Status
	if len(views) > 0 {
		st = views[0].status
		left := problems(slices.Clone(st.Problems))
		report.RoundTrips = judgeGroup(&group, views, &left)
		report.NotChecked = append(report.NotChecked, judgeReplicas(&group, st, p.seen, &left)...)
		left.rest(&group)
	}
	var wg sync.WaitGroup
	wg.Go(func() { p.tryDisk(ctx, &disk) })
	wg.Go(func() { p.tryMembers(ctx, &mesh) })
	wg.Go(func() { p.tryPorts(ctx, &ports) })
	wg.Go(func() { p.tryUpstreams(ctx, &outside, st) })
	wg.Wait()
	if ctx.Err() != nil {
		return report, context.Cause(ctx)
	}
	for _, part := range []checks{group, disk, mesh, ports, outside} {
		report.Checks = append(report.Checks, part...)
	}
	report.NotChecked = append(report.NotChecked, p.untried(st)...)
	return report, nil
}

// untried says what was left out, and how to have it.
func (p *preflight) untried(st control.Status) (out []string) {
	if p.offline {
		out = append(out, "the group: --offline")
	}
	if p.dataDir == "" {
		out = append(out, "the disk of this host: --data-dir")
	}
	var missing []string
	for _, m := range st.Members {
		if m.Name != st.Node && !p.names(m.Name) {
			missing = append(missing, clean(m.Name))
		}
	}
	switch {
	case len(missing) > 0:
		out = append(out, "cluster ports of "+strings.Join(missing, ", ")+" from this host: --peer NAME=host:port")
	case len(p.peers) == 0 && len(st.Members) == 0:
		out = append(out, "cluster ports of the members: --peer NAME=host:port")
	}
	if p.cert == "" && len(st.Members) != 1 {
		out = append(out, "certificates: --ca, --cert and --key")
	}
	if len(p.upstreams)+len(st.Upstreams) == 0 {
		out = append(out, "upstreams: --upstream host:port")
	}
	return out
}

// names reports whether a --peer is about the member.
func (p *preflight) names(member string) bool {
	return slices.ContainsFunc(p.peers, func(peer peerAddr) bool { return peer.name == member })
}

// tryPorts connects to the ports named, and says nothing there.
func (p *preflight) tryPorts(ctx context.Context, c *checks) {
	each(c, p.ports, func(c *checks, addr string) { tryPort(ctx, c, "port "+addr, addr) })
}

func tryPort(ctx context.Context, c *checks, what, addr string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	start := time.Now()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		c.fail(what, "something must listen there, and the firewalls of both hosts let this one in", "cannot connect: %s", unwrapped(err))
		return false
	}
	_ = conn.Close() // it was open
	c.ok(what, "open, %s", took(time.Since(start)))
	return true
}

// probeTimeout bounds each attempt to connect.
const probeTimeout = 5 * time.Second
