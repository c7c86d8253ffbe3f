// Package ctl is the command relayctl, for the two programs that are it: relayctl, and relayd called by that name (docs/decisions/0010-one-binary-in-the-image.md).
//
// It shows and steers a group of thinrelay members through the control API of any one of them. It exits with 0 when all is well, 1 when
// something is degraded or was refused, and 2 when there is no quorum or no answer. It changes nothing but through the API, except for the
// files that certs writes.
package ctl

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// version is that of the program.
var version = "dev"

// Main runs a command line, without the program's name, to its end or until it is interrupted, and returns the exit code.
func Main(args []string, programVersion string) int {
	version = programVersion
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, args, newApp(os.Stdout, os.Stderr))
}
