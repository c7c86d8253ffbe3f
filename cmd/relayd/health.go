package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
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
			if env := os.Getenv("RELAY_ADDR"); env != "" && !cmd.Flags().Changed("addr") {
				addr = env
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 3*time.Second)
			defer cancel()
			if !ready {
				if err := alive(ctx, addr); err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), "ok")
				return nil
			}
			client, err := control.NewClient(control.ClientConfig{Addr: addr})
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
	cmd.Flags().StringVar(&addr, "addr", "http://127.0.0.1:9870", "control API of the relay (env RELAY_ADDR)")
	cmd.Flags().BoolVar(&ready, "ready", false, "fail unless the relay is ready, not only alive")
	return cmd
}

// alive asks for /healthz, which needs nothing of the relay but to run; simulated nodes have it too.
func alive(ctx context.Context, addr string) error {
	base, err := control.ParseAddr(addr)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("healthz").String(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", req.URL, resp.Status)
	}
	return nil
}
