//go:build benchpeers

package main

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

//go:embed *.cfg
var templates embed.FS

// row is one way for bytes between replicas and the upstream.
type row struct {
	name string
	// detail says what exactly is measured: version, and how it is run.
	detail string
	// shared: all replicas share one connection to the upstream.
	shared bool
	// command makes the process; nil for direct TCP.
	command func(p places) (*exec.Cmd, error)
}

// places is what a configuration template may name.
type places struct {
	Dir, Front, Upstream   string
	Spare0, Spare1, Spare2 string
	Module                 string
	Splice, Root           bool

	Name, Advertise, Join, Certs string // of a member of a group
}

// Chain is the id of the chain that the load generator speaks of: a relay that had to learn it would take seconds longer.
func (places) Chain() string { return chainID().String() }

// FrontPort is the port that replicas dial.
func (p places) FrontPort() string {
	_, port, _ := net.SplitHostPort(p.Front)
	return port
}

// chooseRows returns the rows asked for that can run here, and says which cannot.
func chooseRows(ctx context.Context, s *settings, w io.Writer) ([]*row, error) {
	var rows []*row
	for _, name := range s.Only {
		r, err := makeRow(ctx, name, s, w)
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			fmt.Fprintf(w, "skipped: %s is not installed here (%v)\n", name, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(w, "%s: %s\n", r.name, r.detail)
		rows = append(rows, r)
	}
	if len(rows) == 0 {
		return nil, errors.New("nothing to measure")
	}
	return rows, nil
}

func makeRow(ctx context.Context, name string, s *settings, w io.Writer) (*row, error) {
	kind, file, _ := strings.Cut(name, "=")
	switch kind {
	case "direct":
		return &row{name: name, detail: "no proxy"}, nil
	case "haproxy", "haproxy-splice":
		path, err := find("haproxy")
		if err != nil {
			return nil, err
		}
		return &row{name: name, detail: version(path, "-v"), command: func(p places) (*exec.Cmd, error) {
			p.Splice = name == "haproxy-splice"
			file, err := p.write("haproxy.cfg")
			return exec.Command(path, "-db", "-f", file), err
		}}, nil
	case "nginx":
		path, err := find("nginx")
		if err != nil {
			return nil, err
		}
		module := "/usr/lib/nginx/modules/ngx_stream_module.so"
		if _, err := os.Stat(module); err != nil {
			return nil, err
		}
		return &row{name: name, detail: version(path, "-v"), command: func(p places) (*exec.Cmd, error) {
			p.Module, p.Root = module, os.Getuid() == 0
			file, err := p.write("nginx.cfg")
			return exec.Command(path, "-p", p.Dir, "-e", filepath.Join(p.Dir, "error.log"), "-c", file), err
		}}, nil
	case "socat":
		path, err := find("socat")
		if err != nil {
			return nil, err
		}
		return &row{name: name, detail: version(path, "-V"), command: func(p places) (*exec.Cmd, error) {
			text, err := p.fill("socat.cfg")
			return exec.Command(path, strings.Fields(text)...), err
		}}, nil
	case "thinrelay":
		return relaydRow(ctx, name, cmp.Or(file, s.relayd), s, w)
	case "node":
		return nodeRow(name, file, s)
	}
	return nil, fmt.Errorf("no row is called %q", name)
}

// find looks for a server's binary, also where a shell of a plain user does not.
func find(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/" + name)
}

// version is the first line with a digit, or else the first, that a program prints about itself.
func version(path, flag string) string {
	out, _ := exec.Command(path, flag).CombinedOutput() // some end with an error status after printing it
	for line := range strings.Lines(string(out)) {
		if strings.ContainsAny(line, "0123456789") {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " - ")
			return line
		}
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return first
}

// relaydRow is the daemon as operators run it; where it cannot be run, the node without it.
func relaydRow(ctx context.Context, name, file string, s *settings, w io.Writer) (*row, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	r := &row{name: name, detail: "relayd run, a group of one (" + version(path, "--version") + ")", shared: true, command: func(p places) (*exec.Cmd, error) {
		file, err := p.write("relayd.cfg")
		return exec.Command(path, "run", "--config", file), err
	}}
	if err := r.try(ctx); err != nil {
		fmt.Fprintf(w, "thinrelay: %s does not run (%v): its node alone is measured\n", file, err)
		return nodeRow(name, "", s)
	}
	return r, nil
}

// try starts the row once and waits until it reaches the upstream.
func (r *row) try(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	g, err := newRig(ctx, r, 1, nil)
	if err != nil {
		return err
	}
	return g.close()
}

// nodeRow is this program, or an older build of it, as a relay's node with a group of one in memory.
func nodeRow(name, file string, s *settings) (*row, error) {
	self, err := os.Executable()
	if file != "" {
		self, err = filepath.Abs(file)
	}
	if err != nil {
		return nil, err
	}
	runs := 0
	return &row{name: name, detail: "relay.Node, a group of one in memory, no logs", shared: true, command: func(p places) (*exec.Cmd, error) {
		args := []string{nodeCommand, "--listen", p.Front, "--upstream", p.Upstream}
		if s.profile != "" {
			runs++
			args = append(args, "--profile", filepath.Join(s.profile, fmt.Sprintf("node-%03d", runs)))
		}
		return exec.Command(self, args...), nil
	}}, nil
}

// fill is the template with everything in its place.
func (p places) fill(name string) (string, error) {
	t, err := template.ParseFS(templates, name)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := t.Execute(&b, p); err != nil {
		return "", err
	}
	return b.String(), nil
}

// write fills the template into the row's folder.
func (p places) write(name string) (string, error) {
	text, err := p.fill(name)
	if err != nil {
		return "", err
	}
	file := filepath.Join(p.Dir, name)
	return file, os.WriteFile(file, []byte(text), 0o600)
}
