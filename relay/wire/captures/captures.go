// Package captures holds byte streams recorded between real nodeos, Spring
// v1.2.2, for tests: what nodeos sends, in its order and at its times.
// testdata/README.md says what happened in each.
//
// It decodes nothing, and only tests import it.
package captures

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
	"time"
)

// Chain ids of the recordings, in hex.
const (
	// SavannaChainID is the chain of relay-votes, relay-passive and nodes.
	SavannaChainID = "64ecad688bb8558f0da2ab8d1be92f53fed11e95bd461eca2f323ba6b2182214"
	// LegacyChainID is the chain of legacy.
	LegacyChainID = "6ceb27b96a21b176d05425754c5a5b918fcbe653343ff196598423a6cc776051"
)

//go:embed testdata
var files embed.FS

// Stream is one direction of one recorded connection.
type Stream struct {
	// Name is folder/stream: "nodes/01-a2-to-bpc", "relay-votes/r1-1.from-node".
	Name string
	// Opener: the sender of this stream opened the connection, and speaks first.
	Opener bool
	Frames []Frame
	Events []Event
}

// Frame is one recorded frame, length included. The bytes are shared by all who
// load the stream and must not be written to. The last of a stream whose sender
// was killed may be cut short.
type Frame struct {
	At    time.Duration // when its last byte was there, from the start of the folder's recording
	Bytes []byte
}

// Event is what the recorder noted beside the bytes: "open", "closed: EOF".
type Event struct {
	At   time.Duration
	Text string
}

// Names lists all streams, sorted.
func Names() []string {
	all, _ := load()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Load returns a stream by its name, frame by frame.
func Load(name string) (*Stream, error) {
	all, err := load()
	if err != nil {
		return nil, err
	}
	s := all[strings.TrimSuffix(name, ".bin")]
	if s == nil {
		return nil, fmt.Errorf("no recorded stream %q", name)
	}
	return s, nil
}

// Open returns the bytes of a stream, all frames one after the other.
func Open(name string) ([]byte, error) {
	s, err := Load(name)
	if err != nil {
		return nil, err
	}
	var b []byte
	for _, f := range s.Frames {
		b = append(b, f.Bytes...)
	}
	return b, nil
}

// Notes returns a text that belongs to a recording: "relay-votes.decisions.log",
// "relay-passive.decisions.log", "nodes.events.json".
func Notes(name string) ([]byte, error) { return files.ReadFile("testdata/" + name) }

var load = sync.OnceValues(unpack)

// unpack joins the pool of distinct frames with the list of each stream's.
func unpack() (map[string]*Stream, error) {
	pool, err := gunzip("testdata/frames.gz")
	if err != nil {
		return nil, err
	}
	var frames [][]byte
	for len(pool) > 0 {
		n, size := binary.Uvarint(pool)
		if size <= 0 || n > uint64(len(pool)-size) {
			return nil, fmt.Errorf("recorded frame %d is broken", len(frames))
		}
		end := size + int(n)
		frames = append(frames, pool[size:end:end])
		pool = pool[end:]
	}
	js, err := gunzip("testdata/streams.json.gz")
	if err != nil {
		return nil, err
	}
	var list []struct {
		Name   string
		Opener bool
		Index  []int
		At     []int64 // microseconds since the frame before
		Events []struct {
			At   int64
			Text string
		}
	}
	if err := json.Unmarshal(js, &list); err != nil {
		return nil, fmt.Errorf("list of recorded streams: %w", err)
	}
	all := make(map[string]*Stream, len(list))
	for _, l := range list {
		s := &Stream{Name: l.Name, Opener: l.Opener, Frames: make([]Frame, len(l.Index))}
		var at time.Duration
		for i, n := range l.Index {
			at += time.Duration(l.At[i]) * time.Microsecond
			s.Frames[i] = Frame{At: at, Bytes: frames[n]}
		}
		for _, e := range l.Events {
			s.Events = append(s.Events, Event{At: time.Duration(e.At) * time.Microsecond, Text: e.Text})
		}
		all[s.Name] = s
	}
	return all, nil
}

func gunzip(name string) ([]byte, error) {
	b, err := files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", name, err)
	}
	out, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", name, err)
	}
	return out, z.Close()
}
