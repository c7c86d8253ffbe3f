package ctl

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/thinrelay/thinrelay/relay/control"
)

const (
	defaultAddr = "http://127.0.0.1:9870"
	readTimeout = 5 * time.Second // for one answer of a member
)

// app is what all commands share: where they write and how they reach a relay.
type app struct {
	out, errs io.Writer
	terminal  bool // out is one: redrawing
	colours   bool // and who looks at it wants them
	pollEvery time.Duration

	addr, tokenFile        string
	tlsCA, tlsCert, tlsKey string
	asJSON                 bool

	dialled []*control.Client // one per address, made at first use
}

func newApp(out, errs io.Writer) *app {
	terminal := isTerminal(out)
	return &app{out: out, errs: errs, terminal: terminal, colours: terminal && wantsColours(), pollEvery: 200 * time.Millisecond}
}

// wantsColours follows no-color.org, which is about colours and nothing else.
func wantsColours() bool { return os.Getenv("NO_COLOR") == "" }

// isTerminal reports whether a person looks at w, on what can redraw.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// command returns the tree of commands.
func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "relayctl",
		Short: "Show and steer a group of relays",
		Long: `relayctl shows and steers a group of thinrelay members through any one of them.

Every member answers status, with or without a quorum. What changes the group
needs one of: running on the relay's own host, a client certificate
(--tls-cert), or the relay's bearer token (--token-file).

Exit codes: 0 all well, 1 degraded or refused, also DOWN for another reason than
the quorum (no upstream, no replica), 2 no quorum, no leader or no answer.`,
		Example: `  relayctl status
  relayctl --addr http://10.0.0.5:9870 --json status
  relayctl step-down --to us-1
  RELAY_ADDR=eu-1:9870,us-1:9870 relayctl drill --count 10`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	addr := os.Getenv("RELAY_ADDR")
	if addr == "" {
		addr = defaultAddr
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.addr, "addr", addr, "control API of a member, port 9870 where none is named; several, separated by commas, are tried in order (env RELAY_ADDR)")
	flags.BoolVar(&a.asJSON, "json", false, "print JSON, for programs")
	flags.StringVar(&a.tokenFile, "token-file", os.Getenv("RELAY_TOKEN_FILE"), "file with the relay's bearer token (env RELAY_TOKEN_FILE)")
	flags.StringVar(&a.tlsCA, "tls-ca", "", "CA certificate of an https address")
	flags.StringVar(&a.tlsCert, "tls-cert", "", "client certificate for an https address")
	flags.StringVar(&a.tlsKey, "tls-key", "", "key of --tls-cert")

	root.SetOut(a.out)
	root.SetErr(a.errs)
	root.AddCommand(a.statusCommand(), a.stepDownCommand(), a.drillCommand(), a.blocksCommand(), a.membersCommand(),
		a.certsCommand(), a.nodeosConfigCommand(), a.preflightCommand())
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "help" {
			StrictHelp(cmd)
		}
		if cmd.HasSubCommands() && !cmd.Runnable() {
			groupOnly(cmd)
		}
	}
	return root
}

// StrictHelp makes help refuse a command that does not exist, as calling it is refused; cobra prints the usage and calls that a success.
func StrictHelp(help *cobra.Command) {
	help.Run = nil
	help.RunE = func(_ *cobra.Command, args []string) error {
		cmd, rest, err := help.Root().Find(args)
		if err == nil && len(rest) > 0 && cmd.HasSubCommands() {
			err = cmd.ValidateArgs(rest)
		}
		if err != nil {
			return err
		}
		cmd.InitDefaultHelpFlag()
		return cmd.Help()
	}
}

// groupOnly makes a command that only has others under it refuse a word that names none of them; cobra prints the help and calls that a success.
func groupOnly(cmd *cobra.Command) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		var names []string
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				names = append(names, sub.Name())
			}
		}
		next := "use one of " + strings.Join(names, ", ")
		if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
			next = "did you mean " + strings.Join(like, " or ") + "?"
		}
		return fail(exitDegraded, "no command %q under %s\n  next: %s", args[0], cmd.CommandPath(), next)
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.SuggestionsMinimumDistance = 2
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, a *app) int {
	root := a.command()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	var e *exitError
	if errors.As(err, &e) && e.err == nil {
		return e.code // already told
	}
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(a.errs, "relayctl: interrupted")
		return exitDegraded
	}
	fmt.Fprintf(a.errs, "relayctl: %s\n", cleanLines(err.Error()))
	var refused *control.Error
	if !errors.As(err, &refused) && e == nil {
		fmt.Fprintf(a.errs, "  next: see %s --help\n", cmd.CommandPath())
	}
	return exitCode(err)
}

// client returns a client for the first member of --addr that answers.
func (a *app) client(ctx context.Context) (*control.Client, error) {
	clients, err := a.clients()
	if err != nil {
		return nil, err
	}
	if len(clients) == 1 {
		return clients[0], nil // its own call tells if it does not answer
	}
	var last error
	for _, c := range clients {
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		_, err := c.Status(ctx)
		cancel()
		if err == nil {
			return c, nil
		}
		last = err
	}
	return nil, last
}

// clients returns one client for each address of --addr, always the same ones.
func (a *app) clients() ([]*control.Client, error) {
	if a.dialled != nil {
		return a.dialled, nil
	}
	var token string
	if a.tokenFile != "" {
		var err error
		if token, err = control.ReadToken(a.tokenFile); err != nil {
			return nil, fail(exitDegraded, "token: %v\n  next: give --token-file the file that the relay's http.token_file names", err)
		}
	}
	transport, err := a.transport()
	if err != nil {
		return nil, err
	}
	var clients []*control.Client
	for addr := range strings.SplitSeq(a.addr, ",") {
		c, err := control.NewClient(control.ClientConfig{Addr: addr, Token: token, Transport: transport})
		if err != nil {
			return nil, err
		}
		clients = append(clients, c)
	}
	a.dialled = clients
	return clients, nil
}

// transport is the default one with the TLS files of the flags; nil without.
func (a *app) transport() (http.RoundTripper, error) {
	switch {
	case (a.tlsCert == "") != (a.tlsKey == ""):
		return nil, fail(exitDegraded, "--tls-cert and --tls-key belong together\n  next: give the two files of one certificate")
	case a.tlsCA == "" && a.tlsCert == "":
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS13}
	if a.tlsCA != "" {
		pem, err := os.ReadFile(a.tlsCA)
		if err != nil {
			return nil, fail(exitDegraded, "CA: %v\n  next: give --tls-ca the ca.pem that relayctl certs init wrote", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fail(exitDegraded, "no certificate in %s\n  next: give --tls-ca the ca.pem that relayctl certs init wrote", a.tlsCA)
		}
	}
	if a.tlsCert != "" {
		cert, err := tls.LoadX509KeyPair(a.tlsCert, a.tlsKey)
		if err != nil {
			return nil, fail(exitDegraded, "client certificate: %v\n  next: give --tls-cert and --tls-key the two files of one certificate", err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
		TLSClientConfig:     cfg,
		TLSHandshakeTimeout: 3 * time.Second,
	}, nil
}

// printJSON writes v for programs.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// compactJSON writes v on one line.
func compactJSON(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }
