// Command relayd is the relay daemon: it stands between the replicas of a block
// producer and the network, and forwards one block per height.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/thinrelay/thinrelay/cmd/relayctl/ctl"
)

// version is stamped by the linker.
var version = "dev"

func main() {
	if filepath.Base(os.Args[0]) == "relayctl" { // a link to this program, as in the image
		os.Exit(ctl.Main(os.Args[1:], version))
	}
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals()...)
	context.AfterFunc(ctx, func() {
		signal.Ignore(syscall.SIGHUP) // a terminal that is closed sends several
		stop()                        // of the others a second one ends the process at once
	})
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// stopSignals are those that end the process in order: a leader hands over. SIGHUP is one of them, since that is what a terminal sends that is
// closed, and an operator who would have other daemons read their files again; as the kill that it is by default it would cost blocks. Where it
// is ignored, as under nohup, it stays so.
func stopSignals() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// exitCode is an error that ends the process with a code of its own; what there
// was to say has been said.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// run executes a command line and returns the exit code: 0 ok, 1 failed.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:           "relayd",
		Short:         "A thin failover relay for Antelope block producers",
		Long:          "relayd stands between the nodeos replicas of one block producer and the network.\nSeveral of them form a group that forwards exactly one block per height.",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(runCommand(), checkCommand(), demoCommand(), simnetCommand(), healthCommand(), recoverCommand())
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "help" {
			ctl.StrictHelp(cmd)
		}
	}
	err := root.ExecuteContext(ctx)
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(stderr, "relayd:", err)
	return 1
}
