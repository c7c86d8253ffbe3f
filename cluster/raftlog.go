package cluster

import (
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/cluster/internal/quiet"
)

// raftLogInterval is how often Raft may say the same of the same member.
const raftLogInterval = 10 * time.Second

// raftLog is the log that Raft writes to. Raft tells of every call that fails, eight times a second and member as long as one is down, and
// of each election that it cannot win: one line each ten seconds says as much, with the number of lines left out. What leads to a line of
// our own (leading, leadership ended) is not told here.
type raftLog struct {
	hclog.Logger
	quiet *quiet.Limiter
}

func newRaftLog(log hclog.Logger) *raftLog {
	return &raftLog{log.Named("raft"), quiet.New(raftLogInterval)}
}

// Info logs, if it is not the same again.
func (l *raftLog) Info(msg string, args ...any) { l.limit(l.Logger.Info, msg, args) }

// Warn logs, if it is not the same again.
func (l *raftLog) Warn(msg string, args ...any) { l.limit(l.Logger.Warn, msg, args) }

// Error logs, if it is not the same again.
func (l *raftLog) Error(msg string, args ...any) { l.limit(l.Logger.Error, msg, args) }

func (l *raftLog) limit(log func(string, ...any), msg string, args []any) {
	key := msg
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "peer", "target", "from", "candidate", "server-id": // whom it is about
			key = fmt.Sprint(key, args[i+1])
		}
	}
	ok, skipped := l.quiet.Allow(key)
	if !ok {
		return
	}
	if skipped > 0 {
		args = append(args[:len(args):len(args)], "skipped", skipped)
	}
	log(msg, args...)
}
