//go:build ignore

// Pack makes testdata from a directory of recordings: go run pack.go DIR.
//
// DIR holds folders of NAME.bin streams, each with NAME.jsonl (a line per frame
// or event) or NAME.times.json (offset and time per segment), and small text
// files, which are kept as they are.
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

type stream struct {
	Name   string
	Opener bool
	Index  []int   // which frame of the pool, in order
	At     []int64 // microseconds since the frame before
	Events []event `json:",omitempty"`
}

type event struct {
	At   int64
	Text string
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.bin"))
	if err != nil {
		return err
	}
	pool, known := []byte(nil), map[string]int{}
	start := map[string]float64{} // per folder, for segment times
	for _, f := range files {
		for _, s := range segments(f) {
			if d := filepath.Dir(f); start[d] == 0 || s[1] < start[d] {
				start[d] = s[1]
			}
		}
	}
	var streams []stream
	for _, f := range files {
		rel, _ := filepath.Rel(dir, strings.TrimSuffix(f, ".bin"))
		data, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		s := stream{Name: filepath.ToSlash(rel), Opener: opener(data) || strings.HasSuffix(rel, ".to-node") && strings.Contains(rel, "/up-")}
		at, events := times(f, data, start[filepath.Dir(f)])
		s.Events = events
		last := int64(0)
		for i, off := 0, 0; off < len(data); i++ {
			end := frameEnd(data, off)
			frame := string(data[off:end])
			if _, ok := known[frame]; !ok {
				known[frame] = len(known)
				pool = binary.AppendUvarint(pool, uint64(len(frame)))
				pool = append(pool, frame...)
			}
			s.Index = append(s.Index, known[frame])
			s.At = append(s.At, at[i]-last)
			last, off = at[i], end
		}
		streams = append(streams, s)
	}
	js, err := json.Marshal(streams)
	if err != nil {
		return err
	}
	if err := write("testdata/frames.gz", pool); err != nil {
		return err
	}
	return write("testdata/streams.json.gz", js)
}

func frameEnd(data []byte, off int) int {
	if len(data)-off < 4 {
		return len(data)
	}
	return min(off+4+int(binary.LittleEndian.Uint32(data[off:])), len(data))
}

func segments(f string) (out [][2]float64) {
	b, err := os.ReadFile(strings.TrimSuffix(f, ".bin") + ".times.json")
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	_ = err // recordings with .jsonl have none
	return out
}

// times is when the last byte of each frame was there.
func times(f string, data []byte, start float64) (at []int64, events []event) {
	if segs := segments(f); segs != nil {
		seg := 0
		for off := 0; off < len(data); {
			off = frameEnd(data, off)
			for seg+1 < len(segs) && int(segs[seg+1][0]) < off {
				seg++
			}
			at = append(at, int64((segs[seg][1]-start)*1e6))
		}
		return at, nil
	}
	b, err := os.ReadFile(strings.TrimSuffix(f, ".bin") + ".jsonl")
	if err != nil {
		panic(err)
	}
	for sc := bufio.NewScanner(bytes.NewReader(b)); sc.Scan(); {
		var l struct {
			US    int64
			Event string
		}
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			panic(err)
		}
		if l.Event != "" {
			events = append(events, event{l.US, l.Event})
		} else {
			at = append(at, l.US)
		}
	}
	return at, events
}

// opener tells whether the sender of the stream opened its connection: then it
// speaks first, and its first message is a time message that answers nothing. (The
// relay of the recordings, which dialled "up", began with its handshake.)
func opener(data []byte) bool {
	return len(data) >= 13 && data[4] == 3 && binary.LittleEndian.Uint64(data[5:]) == 0
}

func write(name string, data []byte) error {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(data); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.WriteFile(name, b.Bytes(), 0o644)
}
