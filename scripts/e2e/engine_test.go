//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	root    = "../.."
	project = "thinrelay-e2e"
)

// ports are those that the relays' APIs are published at, apart from those of make up.
var ports = map[string]string{"eu-1": "19871", "us-1": "19872", "ap-1": "19873"}

var relays = []string{"eu-1", "us-1", "ap-1"}

// stack is one compose project on the engine, and what its upstreams have seen.
type stack struct {
	t      *testing.T        // that runs now
	files  []string          // of compose, from the repository's root
	env    map[string]string // beside the process's own
	ids    map[string]string // containers by service
	built  []string          // images of this stack alone
	oracle *oracle
}

func newStack(t *testing.T, files ...string) *stack {
	t.Helper()
	s := &stack{t: t, files: append([]string{"deploy/compose.yaml"}, files...), ids: map[string]string{}, env: map[string]string{
		"COMPOSE_PROJECT_NAME": project,
		"THINRELAY_PORT_EU":    ports["eu-1"], "THINRELAY_PORT_US": ports["us-1"], "THINRELAY_PORT_AP": ports["ap-1"],
		// One producer beside ours: a round of ours every 12 seconds.
		"THINRELAY_SIM_OTHERS": "bpb",
	}}
	s.down() // what an interrupted run has left
	return s
}

// regions is the stack of TestPlanned and TestFaults, started by the first of them and removed by TestMain.
var regions *stack

func sharedStack(t *testing.T) *stack {
	t.Helper()
	if regions == nil {
		regions = newStack(t)
		regions.up()
	}
	regions.t = t
	t.Cleanup(regions.complain)
	return regions
}

// run runs a command at the repository's root.
func (s *stack) run(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = root
	cmd.Env = os.Environ()
	for k, v := range s.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, out.String(), errs.String())
	}
	return strings.TrimSpace(out.String()), err
}

func (s *stack) must(name string, args ...string) string {
	s.t.Helper()
	out, err := s.run(name, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// composeCommand is docker compose, or docker-compose where that is what there is.
var composeCommand = sync.OnceValue(func() []string {
	if exec.Command("docker", "compose", "version").Run() == nil {
		return []string{"docker", "compose"}
	}
	return []string{"docker-compose"}
})

func (s *stack) compose(args ...string) (string, error) {
	name, full := composeCommand()[0], slices.Clone(composeCommand()[1:])
	for _, f := range s.files {
		full = append(full, "-f", f)
	}
	return s.run(name, append(full, args...)...)
}

func (s *stack) mustCompose(args ...string) string {
	s.t.Helper()
	out, err := s.compose(args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *stack) up() {
	s.t.Helper()
	s.mustCompose("up", "-d", "--no-build")
	s.awaitWhole(2 * time.Minute)
	s.oracle = newOracle(s)
}

// complain shows the relays' logs after a test that failed.
func (s *stack) complain() {
	if !s.t.Failed() {
		return
	}
	if out, err := s.compose("logs", "--no-color", "--tail=150", "eu-1", "us-1", "ap-1"); err == nil {
		s.t.Log("\n" + out)
	}
}

// down removes the project. Nobody listens any more, so nobody is asked to stop.
func (s *stack) down() {
	for _, args := range [][]string{{"kill"}, {"down", "--volumes", "--remove-orphans", "--timeout", "1"}} {
		if out, err := s.compose(args...); err != nil && args[0] == "down" {
			fmt.Fprintln(os.Stderr, out, err)
		}
	}
	for _, image := range s.built {
		if _, err := s.run("docker", "image", "rm", image); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

// id is the container of a service. Asking compose takes most of a second, so it is asked once.
func (s *stack) id(service string) string {
	s.t.Helper()
	if s.ids[service] == "" {
		if s.ids[service] = s.mustCompose("ps", "-q", service); s.ids[service] == "" {
			s.t.Fatalf("%s has no container", service)
		}
	}
	return s.ids[service]
}

func (s *stack) kill(service string)    { s.must("docker", "kill", s.id(service)) }
func (s *stack) start(service string)   { s.must("docker", "start", s.id(service)) }
func (s *stack) pause(service string)   { s.must("docker", "pause", s.id(service)) }
func (s *stack) unpause(service string) { s.must("docker", "unpause", s.id(service)) }

// cut takes a service off networks and returns what joins them again, under the names it had.
func (s *stack) cut(service string, networks ...string) (join func()) {
	s.t.Helper()
	id := s.id(service)
	var nets map[string]struct{ Aliases []string }
	if err := json.Unmarshal([]byte(s.must("docker", "inspect", "-f", "{{json .NetworkSettings.Networks}}", id)), &nets); err != nil {
		s.t.Fatal(err)
	}
	var joins [][]string
	for _, network := range networks {
		full := project + "_" + network
		n, ok := nets[full]
		if !ok {
			s.t.Fatalf("%s is not on %s", service, full)
		}
		args := []string{"network", "connect"}
		for _, alias := range n.Aliases {
			if !strings.HasPrefix(id, alias) { // the engine adds the container's own id
				args = append(args, "--alias", alias)
			}
		}
		s.must("docker", "network", "disconnect", full, id)
		joins = append(joins, append(args, full, id))
	}
	return func() {
		for _, args := range joins {
			s.must("docker", args...)
		}
	}
}

// address is a container's address on a network.
func (s *stack) address(service, network string) (string, error) {
	return s.run("docker", "inspect", "-f", fmt.Sprintf(`{{(index .NetworkSettings.Networks %q).IPAddress}}`, project+"_"+network), s.id(service))
}

// running reports whether a service's container runs.
func (s *stack) running(service string) bool {
	out, err := s.run("docker", "inspect", "-f", "{{.State.Status}}", s.id(service))
	return err == nil && out == "running"
}

// ended is when a service's container ended, if it does not run.
func (s *stack) ended(service string) (time.Time, bool) {
	out, err := s.run("docker", "inspect", "-f", "{{.State.Status}} {{.State.FinishedAt}}", s.id(service))
	status, at, _ := strings.Cut(out, " ")
	end, bad := time.Parse(time.RFC3339Nano, at)
	return end, err == nil && bad == nil && status == "exited"
}

// relayctl runs relayctl inside a relay's container and returns its output and exit code.
func (s *stack) relayctl(relay string, args ...string) (string, int) {
	s.t.Helper()
	out, err := s.run("docker", append([]string{"exec", s.id(relay), "relayctl"}, args...)...)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return out, 0
	case errors.As(err, &exit):
		return out, exit.ExitCode()
	}
	s.t.Fatal(err)
	return "", 0
}

// until polls until done, and fails the test when the time is up.
func (s *stack) until(what string, limit, every time.Duration, done func() bool) {
	s.t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			out, _ := s.relayctl(s.anyRelay(), "status")
			s.t.Fatalf("not within %s: %s\n%s", limit, what, out)
		}
	}
}

// anyRelay is a relay that runs.
func (s *stack) anyRelay() string {
	i := slices.IndexFunc(relays, s.running)
	return relays[max(i, 0)]
}

// at waits for a moment.
func at(moment time.Time) {
	timer := time.NewTimer(time.Until(moment))
	<-timer.C
}
