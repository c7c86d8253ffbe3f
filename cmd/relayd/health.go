package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/thinrelay/thinrelay/relay/control"
)

// healthCommand is `relayd health`: for container health checks, where there is
// no shell and no curl.
func healthCommand() *cobra.Command {
	var addr string
	var ready bool
	cmd := &cobra.Command{
		Use:     "health",
		Short:   "Ask a running relay on this host whether it is alive, or ready",
		Example: "  relayd health\n  relayd health --ready --addr http://127.0.0.1:9870",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("addr") {
				addr = cmp.Or(os.Getenv("RELAY_ADDR"), listening(os.Getenv(envName("http.listen"))), addr)
			}
			addr, _, _ = strings.Cut(addr, ",") // relayctl takes several; here the first is meant
			ctx, cancel := context.WithTimeout(cmd.Context(), 3*time.Second)
			defer cancel()
			base, transport, err := alive(ctx, addr)
			if err != nil {
				return err
			}
			if !ready {
				fmt.Fprintln(cmd.OutOrStdout(), "ok")
				return nil
			}
			client, err := control.NewClient(control.ClientConfig{Addr: base.String(), Transport: transport})
			if err != nil {
				return err
			}
			r, err := client.Ready(ctx)
			if err != nil {
				return err
			}
			if !r.Ready {
				for _, p := range r.Reasons {
					fmt.Fprintf(cmd.OutOrStdout(), "not ready: %s\n", p.Text)
				}
				return exitCode(1)
			}
			fmt.Fprintln(cmd.OutOrStdout(), "ok")
			return nil
		},
	}
	cmd.Flags().StringVar(&addr, "addr", "http://127.0.0.1:9870", "control API of the relay (env RELAY_ADDR, of several the first, else RELAY_HTTP_LISTEN); on loopback with http.tls as well, its certificate is not checked there")
	cmd.Flags().BoolVar(&ready, "ready", false, "fail unless the relay is ready, not only alive")
	return cmd
}

// listening is where a relay of this host is asked whose http.listen the environment sets, as it may for a container: its health check would ask
// another port than the one that is listened on, and call a relay ill that is well. Empty: nothing is set, or nothing that could be asked.
func listening(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	switch {
	case err != nil || !isPort(port):
		return ""
	case isUnspecified(host):
		host = "localhost" // whichever of the two families it listens on
	}
	return net.JoinHostPort(host, port)
}

// alive asks for /healthz, which needs nothing of the relay but to run; simulated nodes have it too. It returns where it was answered
// and how. On loopback that is TLS if the relay wants it, whatever the address says, and whoever issued its certificate: it
// names another host, and nobody else answers there.
func alive(ctx context.Context, addr string) (*url.URL, http.RoundTripper, error) {
	base, err := control.ParseAddr(addr)
	if err != nil {
		return nil, nil, err
	}
	if !loopback(base.Hostname()) {
		_, err := healthz(ctx, base, http.DefaultTransport)
		return base, nil, err
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
	}
	_, err = healthz(ctx, base, transport)
	if err == nil || base.Scheme == "https" {
		return base, transport, err
	}
	secure := *base
	secure.Scheme = "https"
	if answered, second := healthz(ctx, &secure, transport); answered {
		return &secure, transport, second
	}
	return base, transport, err
}

// healthz reports whether there was an answer, and why it is not a good one.
func healthz(ctx context.Context, base *url.URL, transport http.RoundTripper) (answered bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("healthz").String(), nil)
	if err != nil {
		return false, err
	}
	client := http.Client{Transport: transport}
	resp, err := client.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return true, fmt.Errorf("%s: %s", req.URL, resp.Status)
	}
	return true, nil
}

// loopback reports whether a host is this one.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
