package ctl

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// nodeosOptions is what the lines of a config.ini depend on.
type nodeosOptions struct {
	relays    []string
	producer  string
	name      string // agent name
	release   string
	finalizer bool
}

func (a *app) nodeosConfigCommand() *cobra.Command {
	var o nodeosOptions
	cmd := &cobra.Command{
		Use:   "nodeos-config",
		Short: "Print the config.ini lines of a replica, each with its reason",
		Long: `Print the lines a nodeos needs in its config.ini to work behind the relays, each
with its reason. Lines that must be absent are listed at the end.

A replica produces blocks. With --finalizer the lines are those of a node that
votes with the BLS key and never produces: on Savanna chains run two of them,
and give the replicas no BLS key.`,
		Example: `  relayctl nodeos-config --relay 10.0.0.5:9876 --producer bpa --name nodeos-a
  relayctl nodeos-config --relay eu-1:9876 --relay us-1:9876 --producer bpa --release leap-5 >> config.ini
  relayctl nodeos-config --relay 10.0.0.5:9876 --finalizer --name fin-1`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			lines, err := o.lines()
			if err != nil {
				return err
			}
			if a.asJSON {
				return a.printJSON(lines)
			}
			_, err = fmt.Fprint(a.out, lines.ini(o))
			return err
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.relays, "relay", nil, "host:port of a relay's downstream.listen (repeatable)")
	f.StringVar(&o.producer, "producer", "", "our producer account")
	f.StringVar(&o.name, "name", "", "name of this nodeos, as in failover.prefer or downstream.observers")
	f.StringVar(&o.release, "release", "spring-1.2", "nodeos release: "+strings.Join(releaseNames(), ", "))
	f.BoolVar(&o.finalizer, "finalizer", false, "for a node that votes and never produces")
	return cmd
}

// release is what differs between nodeos releases.
type release struct {
	name    string
	savanna bool // votes exist; the vote gate works
	slowTrx bool // max-transaction-time defaults to 499 ms
}

// releases are those the protocol notes cover (p2p notes, 1.3, 2, 13).
func releases() []release {
	return []release{
		{name: "spring-1.2", savanna: true, slowTrx: true},
		{name: "spring-1.1", savanna: true, slowTrx: true},
		{name: "spring-1.0", savanna: true, slowTrx: true},
		{name: "leap-5", slowTrx: true},
		{name: "leap-4"},
		{name: "leap-3"},
		{name: "eosio-2.0"},
	}
}

func releaseNames() []string {
	var names []string
	for _, r := range releases() {
		names = append(names, r.name)
	}
	return names
}

// accountName is what the chain lets an account be called; relayd's producers follow the same rule.
var accountName = regexp.MustCompile(`^[a-z1-5.]{0,11}[a-z1-5]$`)

func (o nodeosOptions) validate() (release, error) {
	if len(o.relays) == 0 {
		return release{}, fail(exitDegraded, "no relay given\n  next: add --relay host:9876, once for each relay this nodeos shall dial")
	}
	seen := make(map[string]bool)
	for _, r := range o.relays {
		if err := checkRelay(r); err != nil {
			return release{}, fail(exitDegraded, "--relay %q: %w\n  next: write it as 10.0.0.5:9876, or [2001:db8::5]:9876", r, err)
		}
		if seen[strings.ToLower(r)] {
			return release{}, fail(exitDegraded, "--relay %q is given twice\n  next: give each relay once: nodeos would hold two connections to one", r)
		}
		seen[strings.ToLower(r)] = true
	}
	switch {
	case o.finalizer && o.producer != "":
		return release{}, fail(exitDegraded, "--finalizer and --producer exclude each other\n  next: a finalizer node never produces; leave --producer out")
	case !o.finalizer && !accountName.MatchString(o.producer):
		return release{}, fail(exitDegraded, "--producer %q is no account name\n  next: give the producer account, as bpa: up to 12 of a-z, 1-5 and dot, and no dot at its end", o.producer)
	case o.finalizer && o.name == "":
		return release{}, fail(exitDegraded, "a finalizer node needs a name\n  next: add --name fin-1, and list it in downstream.observers of every relay")
	case strings.ContainsFunc(o.name, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' || r == '"' }):
		return release{}, fail(exitDegraded, "--name %q\n  next: use letters, digits and dashes", o.name)
	}
	for _, r := range releases() {
		if r.name == o.release {
			if o.finalizer && !r.savanna {
				return release{}, fail(exitDegraded, "%s has no finalizers\n  next: leave --finalizer out, or name a Spring release", o.release)
			}
			return r, nil
		}
	}
	return release{}, fail(exitDegraded, "unknown release %q\n  next: use one of %s", o.release, strings.Join(releaseNames(), ", "))
}

func checkRelay(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("no host:port")
	}
	if host == "" || strings.ContainsAny(host, " \t\r\n#=\"") {
		return fmt.Errorf("no host")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("port %q", port)
	}
	return nil
}
