// Command relayctl shows and steers a group of thinrelay members through the
// control API of any one of them.
//
// It exits with 0 when all is well, 1 when something is degraded or was
// refused, and 2 when there is no quorum or no answer. It changes nothing but
// through the API, except for the files that certs writes.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// version is stamped by the build: -ldflags "-X main.version=…".
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], newApp(os.Stdout, os.Stderr))
	stop()
	os.Exit(code)
}
