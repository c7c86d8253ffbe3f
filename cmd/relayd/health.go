package main

import (
	"context"
	"fmt"
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
			client, err := control.NewClient(control.ClientConfig{Addr: addr})
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 3*time.Second)
			defer cancel()
			r, err := client.Ready(ctx)
			if err != nil {
				return err
			}
			if ready && !r.Ready {
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
