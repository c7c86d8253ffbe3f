package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// simnetCommand is `relayd simnet`: nodes of a simulated network, a process
// each, for deployments without a nodeos.
func simnetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "simnet",
		Short: "Run a node of a simulated Antelope network",
		Long: `simnet runs nodes that speak the real p2p protocol and simulate the rest, so that a deployment of
relays can be tried without any nodeos. Processes with the same --seed and --producers belong to
one chain. Each serves GET /report with what it has seen: on upstreams that is the verdict of an
oracle outside the relays.`,
		Args: cobra.NoArgs, // a word that is none of these is a mistake, for which cobra would print the help and exit with 0
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(simProducers(), simUpstream(), simReplica(false), simReplica(true))
	return cmd
}

// simFlags are the flags of every simulated node.
type simFlags struct {
	seed, name, listen, http, level string
	ours, others                    []string
}

func (f *simFlags) add(cmd *cobra.Command, name string) {
	fs := cmd.Flags()
	fs.StringVar(&f.seed, "seed", "thinrelay", "makes the keys and the chain id")
	fs.StringVar(&f.name, "name", name, "agent name")
	fs.StringVar(&f.http, "http", "", "address of GET /report and /healthz; empty: none")
	fs.StringVar(&f.level, "log-level", "info", "log level")
	fs.StringSliceVar(&f.ours, "ours", []string{"bpa"}, "producers behind the relays")
	fs.StringSliceVar(&f.others, "others", []string{"bpb", "bpc"}, "the network's own producers")
}

func (f *simFlags) config(log hclog.Logger) simnet.Config {
	return simnet.Config{
		Seed: f.seed, Ours: f.ours, Others: f.others, Upstreams: 1, MaxNodesPerHost: -1, Logger: log,
		Listen: func(int) string { return f.listen },
	}
}

func (f *simFlags) logger(cmd *cobra.Command) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: f.name, Level: hclog.LevelFromString(f.level), Output: cmd.ErrOrStderr()})
}

// chain is the chain all processes with these flags share.
func (f *simFlags) chain() (*simnet.Chain, error) {
	rules, err := f.config(nil).Rules()
	if err != nil {
		return nil, err
	}
	return simnet.NewChain(rules)
}

// names are our producers.
func (f *simFlags) names() ([]wire.Name, error) {
	out := make([]wire.Name, len(f.ours))
	for i, s := range f.ours {
		n, err := wire.ParseName(s)
		if err != nil {
			return nil, err
		}
		out[i] = n
	}
	return out, nil
}

// simProducers is the rest of the network in one process: its producers, and
// transactions.
func simProducers() *cobra.Command {
	var f simFlags
	var load float64
	cmd := &cobra.Command{
		Use:     "producers",
		Short:   "The network's own producers, behind one listening node",
		Example: "  relayd simnet producers --listen :9876 --load 4",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg := f.config(f.logger(cmd))
			cfg.Load = load
			w, err := simnet.New(cfg)
			if err != nil {
				return err
			}
			return f.serve(cmd.Context(), func() any { return w.Report() }, w.Run)
		},
	}
	f.add(cmd, "producers")
	cmd.Flags().StringVar(&f.listen, "listen", ":9876", "p2p listen address")
	cmd.Flags().Float64Var(&load, "load", 4, "transactions a slot")
	return cmd
}

// simUpstream is an outside peer for relays to dial, with an oracle.
func simUpstream() *cobra.Command {
	var f simFlags
	var peers []string
	cmd := &cobra.Command{
		Use:     "upstream",
		Short:   "A peer for relays to dial; its report is the oracle's verdict",
		Example: "  relayd simnet upstream --name seed1 --listen :9876 --peer producers:9876 --http :9880",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			chain, err := f.chain()
			if err != nil {
				return err
			}
			ours, err := f.names()
			if err != nil {
				return err
			}
			oracle := simnet.NewOracle(chain, ours)
			oracle.Begin(chain.Clock.SlotAt(time.Now()) + 1) // what was before is not its to judge, and long
			node, err := simnet.NewNode(simnet.NodeConfig{
				Name: f.name, Chain: chain, Listen: f.listen, Peers: peers, MaxNodesPerHost: -1, Logger: f.logger(cmd),
				Watch: func(e simnet.Event) {
					e.Inside = e.Peer != agent // relays tell who they are
					oracle.Upstream(e)
				},
			})
			if err != nil {
				return err
			}
			return f.serve(cmd.Context(), func() any { return oracle.Report(final(node)) }, runNode(node))
		},
	}
	f.add(cmd, "seed")
	cmd.Flags().StringVar(&f.listen, "listen", ":9876", "p2p listen address")
	cmd.Flags().StringSliceVar(&peers, "peer", nil, "further nodes of the network to dial")
	return cmd
}

// final is the node's irreversible chain.
func final(n *simnet.Node) []*simnet.Block {
	blocks := n.Blocks()
	v, ok := n.View()
	for ok && len(blocks) > 0 && blocks[len(blocks)-1].Num() > v.Root.Num() {
		blocks = blocks[:len(blocks)-1]
	}
	return blocks
}

// simReplica is a node of ours: a replica, or a finalizer host.
func simReplica(finalizer bool) *cobra.Command {
	var f simFlags
	var relays []string
	var ignore bool
	use, short := "replica", "A replica of our producers; its only peers are relays"
	if finalizer {
		use, short = "finalizer", "The host of our finalizer keys, which never produces; its only peers are relays"
	}
	cmd := &cobra.Command{
		Use:     use,
		Short:   short,
		Example: "  relayd simnet " + use + " --name node-1 --relay eu-1:9876 --relay us-1:9876",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			chain, err := f.chain()
			if err != nil {
				return err
			}
			ours, err := f.names()
			if err != nil {
				return err
			}
			seen := &signed{}
			cfg := simnet.NodeConfig{Name: f.name, Chain: chain, Peers: relays, Logger: f.logger(cmd), Watch: seen.watch}
			if ignore {
				cfg.Timing.VotePause = -1
			}
			for _, name := range ours {
				if v, ok := simnet.NewVoter(chain, name); ok && finalizer {
					cfg.Voters = append(cfg.Voters, v)
				}
			}
			if !finalizer {
				cfg.Producers = ours
			}
			node, err := simnet.NewNode(cfg)
			if err != nil {
				return err
			}
			return f.serve(cmd.Context(), func() any { return seen.report(node) }, runNode(node))
		},
	}
	f.add(cmd, "node")
	cmd.Flags().StringSliceVar(&relays, "relay", nil, "address of a relay; may be repeated")
	cmd.Flags().BoolVar(&ignore, "ignore-votes", false, "produce without votes: a replica that does not obey the vote gate")
	_ = cmd.MarkFlagRequired("relay")
	return cmd
}

// runNode runs a node until its context ends.
func runNode(n *simnet.Node) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := n.Start(); err != nil {
			return err
		}
		<-ctx.Done()
		n.Close()
		return nil
	}
}

// serve runs a node, and its report over HTTP, until ctx ends.
func (f *simFlags) serve(ctx context.Context, report func() any, run func(context.Context) error) error {
	if f.http == "" {
		return run(ctx)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /report", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(report())
	})
	srv := &http.Server{Addr: f.http, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- srv.ListenAndServe() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- run(ctx) }()
	select {
	case err := <-served:
		cancel()
		<-ran
		return fmt.Errorf("serve report: %w", err)
	case err := <-ran:
		closeErr := srv.Close()
		<-served
		if err == nil {
			err = closeErr
		}
		return err
	}
}
