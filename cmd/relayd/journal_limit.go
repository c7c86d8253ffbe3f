package main

import (
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/relay"
)

// linesASecond is how many log lines there are in a second of what a single peer can cause as often as it likes: as
// many as fifty replicas cause that all sign. Without a bound a replica gone mad fills the disk, on which the mark has to be written.
const linesASecond = 100

// repeated are the records of that sort, with their names.
var repeated = map[relay.RecordKind]string{
	relay.Refused:      "block refused",
	relay.ReplicaState: "replica state",
	relay.VoteConflict: "two live nodes hold one finalizer key",
	relay.Equivocation: "a replica signed two blocks on one parent",
}

// limiter counts log lines by kind.
type limiter map[relay.RecordKind]*lines

type lines struct {
	second         time.Time
	written, spare int
}

// allow reports whether the record may be written, and says how many of the second before were not.
func (l limiter) allow(r relay.Record, log hclog.Logger) bool {
	name := repeated[r.Kind]
	if name == "" {
		return true
	}
	n := l[r.Kind]
	if n == nil {
		n = &lines{}
		l[r.Kind] = n
	}
	if second := r.At.Truncate(time.Second); !second.Equal(n.second) {
		if n.spare > 0 {
			log.Warn("more than is logged", "what", name, "left_out", n.spare)
		}
		*n = lines{second: second}
	}
	if n.written == linesASecond {
		n.spare++
		return false
	}
	n.written++
	return true
}
