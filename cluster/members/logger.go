package members

import (
	"bytes"
	"log"
	"regexp"
	"strings"
)

// logger gives memberlist a logger that knows levels and says everything once a minute: most of its errors are things
// that strangers can cause with a packet.
func (m *Members) logger() *log.Logger {
	return log.New(&writer{m}, "", 0)
}

type writer struct{ m *Members }

// ports are the parts of a message that differ between two packets of one source.
var ports = regexp.MustCompile(`:\d+|\[[0-9 ]*\]|0x[0-9a-f]+`)

// Write logs one message of memberlist's: "[WARN] memberlist: text".
func (w *writer) Write(p []byte) (int, error) {
	text := string(bytes.TrimSpace(p))
	level := ""
	if rest, ok := strings.CutPrefix(text, "["); ok {
		level, text, _ = strings.Cut(rest, "] ")
	}
	text = strings.TrimPrefix(text, "memberlist: ")
	if level != "ERR" && level != "ERROR" && level != "WARN" {
		w.m.log.Debug("gossip", "message", text)
		return len(p), nil
	}
	ok, skipped := w.m.quiet.Allow(ports.ReplaceAllString(text, ""))
	if !ok {
		return len(p), nil
	}
	args := []any{"message", text}
	if h := hint(text); h != "" {
		args = append(args, "hint", h)
	}
	if skipped > 0 {
		args = append(args, "skipped", skipped)
	}
	w.m.log.Warn("gossip", args...)
	return len(p), nil
}

// hint says what an operator can do about one of memberlist's messages, or nothing.
func hint(message string) string {
	message = strings.ToLower(message)
	has := func(s string) bool { return strings.Contains(message, s) }
	switch {
	case has("no installed keys could decrypt"):
		return "another gossip key: cluster.gossip_key_file must be the same on all members"
	case has("not encrypted"), has("not configured"), has("encryption version"), has("too small to decrypt"):
		return "no gossip key there, or no relay at all: only members of this cluster should reach this port"
	case has("label"):
		return "another cluster's gossip, or no gossip at all: check cluster.join on both sides"
	case has("udp probes failed"):
		return "open the gossip port for UDP as well as TCP, in both directions"
	case has("streams at once"), has("more bytes than"):
		return "something floods the gossip port: only members of this cluster should reach it"
	case has("eof"), has("connection reset"):
		return "it hung up: another cluster name (label) or another gossip key there, or another program on that port"
	case has("refused"), has("timeout"), has("no route"):
		return "not started yet, or a firewall: the gossip port needs TCP and UDP"
	}
	return ""
}
