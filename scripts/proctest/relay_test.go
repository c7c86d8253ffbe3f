package proctest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

// relay is one relayd: a folder that stays, and a process that comes and goes.
type relay struct {
	name, dir, config string
	api               string // address of its control API
	client            *control.Client
	binary            string   // the relayd to run
	env               []string // beside the test's own

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of the process's end
}

// newRelay prepares a relay with the given configuration. Nothing runs yet.
func newRelay(t *testing.T, name, api, yaml string) *relay {
	t.Helper()
	r := &relay{name: name, dir: t.TempDir(), api: api, binary: filepath.Join(bin, "relayd")}
	r.config = filepath.Join(r.dir, "relay.yaml")
	text := fmt.Sprintf("node: %s\ndata_dir: data\nhttp: {listen: %q}\nlog: {level: info, format: json}\n%s", name, api, yaml)
	if err := os.WriteFile(r.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(r.dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	client, err := control.NewClient(control.ClientConfig{Addr: api})
	if err != nil {
		t.Fatal(err)
	}
	r.client = client
	t.Cleanup(func() {
		r.kill()
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, tail(r.log(), 60))
		}
		r.keepLog(t)
	})
	return r
}

// keepLog copies the log to where THINRELAY_E2E_LOGS says.
func (r *relay) keepLog(t *testing.T) {
	dir := os.Getenv("THINRELAY_E2E_LOGS")
	if dir == "" {
		return
	}
	name := strings.ReplaceAll(t.Name(), "/", "_") + "-" + r.name + ".log"
	if err := os.WriteFile(filepath.Join(dir, name), []byte(r.log()), 0o600); err != nil {
		t.Log(err)
	}
}

// start starts the process.
func (r *relay) start(t *testing.T) {
	t.Helper()
	out, err := os.OpenFile(filepath.Join(r.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(r.binary, "run", "--config", r.config)
	cmd.Stderr, cmd.Env = out, append(os.Environ(), r.env...)
	tied(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	r.mu.Lock()
	r.cmd, r.done = cmd, done
	r.mu.Unlock()
	go func() {
		err := cmd.Wait()
		out.Close()
		r.mu.Lock()
		r.err = err
		r.mu.Unlock()
		close(done)
	}()
}

// pid is the process's id, 0 when none runs.
func (r *relay) pid() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd == nil {
		return 0
	}
	select {
	case <-r.done:
		return 0
	default:
		return r.cmd.Process.Pid
	}
}

func (r *relay) signal(sig syscall.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd != nil {
		_ = r.cmd.Process.Signal(sig) // it may have ended
	}
}

// kill ends the process as kill -9 does.
func (r *relay) kill() {
	r.signal(syscall.SIGKILL)
	r.mu.Lock()
	done := r.done
	r.mu.Unlock()
	if done != nil {
		<-done
	}
}

// stop ends the process as an operator does, and expects it to end well.
func (r *relay) stop(t *testing.T) {
	t.Helper()
	r.signal(syscall.SIGTERM)
	select {
	case <-r.done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s does not end after SIGTERM", r.name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		t.Errorf("%s ends with %v after SIGTERM, want exit code 0", r.name, r.err)
	}
}

// log is what the process has written.
func (r *relay) log() string {
	b, err := os.ReadFile(filepath.Join(r.dir, "log"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err.Error()
	}
	return string(b)
}

// logged counts the lines of the log that hold all the words.
func (r *relay) logged(words ...string) int {
	n := 0
	for line := range strings.Lines(r.log()) {
		all := true
		for _, w := range words {
			all = all && strings.Contains(line, w)
		}
		if all {
			n++
		}
	}
	return n
}

// status is the answer of GET /v1/status, if there is one.
func (r *relay) status() (control.Status, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s, err := r.client.Status(ctx)
	return s, err == nil
}

// ctl runs relayctl against the relay and returns its output and exit code.
func (r *relay) ctl(t *testing.T, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "relayctl"), append([]string{"--addr", "http://" + r.api}, args...)...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return string(out) + complaints.String(), exit.ExitCode()
	case err != nil:
		t.Fatal(err)
	}
	return string(out), 0
}

// ctlQuietly runs relayctl against the relay, and reports whether that did what it was told.
func (r *relay) ctlQuietly(args ...string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return exec.CommandContext(ctx, filepath.Join(bin, "relayctl"), append([]string{"--addr", "http://" + r.api}, args...)...).Run() == nil
}

// tail is the last lines of a text.
func tail(text string, lines int) string {
	all := strings.SplitAfter(text, "\n")
	return strings.Join(all[max(0, len(all)-lines-1):], "")
}

// freeAddr is an address on a loopback host with a port that nobody has now.
func freeAddr(t *testing.T, host string) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
