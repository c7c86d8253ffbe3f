package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"
)

// runCommand is `relayd run`.
func runCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:     "run",
		Short:   "Run this relay",
		Long:    "run takes part in the group until it gets SIGTERM, SIGINT or SIGHUP: then it waits for our round to end\n(8 s at most), hands leadership over, finishes what is under way, and exits with 0. A second SIGTERM or\nSIGINT ends it at once.",
		Example: "  relayd run --config relay.yaml\n  RELAY_LOG_LEVEL=debug relayd run --config relay.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := LoadConfig(path, os.Environ())
			if err != nil {
				return err
			}
			return runRelay(cmd.Context(), cfg, newLogger(cfg, cmd.ErrOrStderr()))
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// newLogger is the root logger that a configuration asks for.
func newLogger(cfg Config, w io.Writer) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Name:       "relayd",
		Level:      hclog.LevelFromString(cfg.Log.Level),
		Output:     w,
		JSONFormat: cfg.Log.Format == "json",
		TimeFormat: "2006-01-02T15:04:05.000Z07:00",
	}).With("node", cfg.Node)
}

// runRelay runs one relay with real sockets and files until ctx ends.
func runRelay(ctx context.Context, cfg Config, log hclog.Logger) error {
	m, err := openMember(ctx, cfg, systemParts(cfg), log)
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return nil // it was stopped while it waited
	}
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if err := m.metrics.InstallRaft(); err != nil { // here, where one process is one member
		return errors.Join(fmt.Errorf("install raft's metrics: %w", err), m.closeAll())
	}
	return m.run(ctx)
}
