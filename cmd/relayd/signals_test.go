package main

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mainArgs names the variable with which the test's own program is relayd, with the words in it as its command line.
const mainArgs = "TEST_RELAYD_MAIN"

// TestRunsMain is relayd itself, where another test has started this program as that.
func TestRunsMain(t *testing.T) {
	args, ok := os.LookupEnv(mainArgs)
	if !ok {
		t.Skip("another test's child")
	}
	os.Args = append([]string{"relayd"}, strings.Fields(args)...)
	main()
}

// TestSignalsEndInOrder stops relayd by each signal that an operator, a service manager or a closed terminal sends: it ends with 0, and is not
// killed by it.
func TestSignalsEndInOrder(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			// What is ignored here, as a hangup is under nohup, the child would ignore as well; what is caught it does not.
			caught := make(chan os.Signal, 1)
			signal.Notify(caught, sig)
			defer signal.Stop(caught)
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			addr := ln.Addr().String()
			if err := ln.Close(); err != nil {
				t.Fatal(err)
			}
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRunsMain$")
			child.Env = append(os.Environ(), mainArgs+"=simnet producers --listen 127.0.0.1:0 --http "+addr)
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- child.Wait() }()
			late := time.After(20 * time.Second)
			for look := time.Tick(20 * time.Millisecond); ; {
				resp, err := http.Get("http://" + addr + "/healthz")
				if err == nil {
					resp.Body.Close()
					break
				}
				select {
				case <-look:
				case err := <-ended:
					t.Fatal("ended before it was asked to:", err)
				case <-late:
					t.Fatal("does not start:", err)
				}
			}
			if err := child.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if sig == syscall.SIGHUP { // a terminal that is closed sends several
				_ = child.Process.Signal(sig) // it may have ended
			}
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("ended with %v, want exit code 0", err)
				}
			case <-time.After(20 * time.Second):
				t.Error("does not end")
			}
		})
	}
}
