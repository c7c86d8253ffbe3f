package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	defaultStepDown = 5 * time.Second
	maxStepDown     = time.Minute
	quietMargin     = 2 * time.Second        // our next round must be further away than this
	quietPoll       = 100 * time.Millisecond // a slot is five of these

	// maxFollowed is how often a step-down goes after a leader that has changed.
	maxFollowed = 3
	followPoll  = 20 * time.Millisecond
	// quorumWait is how long a quorum may be out of sight before a step-down is refused for that.
	quorumWait = 2 * time.Second
)

// StepDownRequest asks for a planned hand-over (POST /v1/step-down).
type StepDownRequest struct {
	To      string `json:"to,omitzero"`      // member to lead next; empty: the best one
	Timeout string `json:"timeout,omitzero"` // for the hand-over itself, as "5s"; default 5s, at most 1m
	Now     bool   `json:"now,omitzero"`     // do not wait for a moment outside our round
}

func (q StepDownRequest) timeout() (time.Duration, error) {
	if q.Timeout == "" {
		return defaultStepDown, nil
	}
	d, err := time.ParseDuration(q.Timeout)
	if err != nil || d <= 0 || d > maxStepDown {
		return 0, refusal(CodeBadRequest, `use a duration as "5s"`, "timeout must be between 0 and %s", maxStepDown)
	}
	return d, nil
}

func (s *Server) postStepDown(w http.ResponseWriter, r *http.Request) {
	var req StepDownRequest
	err := readJSON(w, r, &req)
	if err == nil {
		var result StepDown
		if result, err = s.stepDown(r.Context(), w, req); err == nil {
			s.log.Info("stepped down", "from", result.From, "to", result.To, "took_ms", result.TookMS)
			writeJSON(w, http.StatusOK, result)
			return
		}
	}
	writeError(w, err)
}

func (s *Server) stepDown(ctx context.Context, w http.ResponseWriter, req StepDownRequest) (StepDown, error) {
	timeout, err := req.timeout()
	if err != nil {
		return StepDown{}, err
	}
	if !s.stepping.TryLock() {
		return StepDown{}, refusal(CodeRefused, "wait for it to end: relayctl status --watch", "a step-down is already under way")
	}
	defer s.stepping.Unlock()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(quorumWait + statusTimeout + s.cfg.QuietWait + timeout + writeTimeout))

	st, err := s.possible(ctx, req.To)
	if err != nil {
		return StepDown{}, err
	}
	start := time.Now()
	if !req.Now && len(st.Members) != 1 { // one that is alone refuses at once
		if err := s.awaitQuiet(ctx); err != nil {
			return StepDown{}, err
		}
	}
	waited := time.Since(start)

	// The bound holds even for a node that answers late: the outcome is then
	// told by status, and the operator told so.
	ctx, cancel := context.WithTimeout(ctx, timeout+time.Second)
	defer cancel()
	result, err := s.handOver(ctx, req.To, timeout)
	if err != nil {
		return StepDown{}, err
	}
	result.WaitedMS = waited.Milliseconds()
	return result, nil
}

// possible refuses what cannot succeed before anything is stopped. A quorum may be out of sight for a moment, when a process or a way stands still for
// longer than a heartbeat: only one that stays away is missing.
func (s *Server) possible(ctx context.Context, to string) (Status, error) {
	brief, cancel := context.WithTimeout(ctx, quorumWait)
	defer cancel()
	tick := time.NewTicker(followPoll)
	defer tick.Stop()
	for {
		st, err := s.status(ctx)
		if err == nil {
			err = checkTarget(st, to)
		}
		var refused *Error
		if !errors.As(err, &refused) || refused.Code != CodeNoQuorum || st.Quorum.Total == 0 {
			return st, err
		}
		select {
		case <-tick.C:
		case <-brief.Done():
			return st, err
		}
	}
}

// handOver asks the leader, and whoever leads now when that has changed: much may happen while a round ends, and a follower far from
// a new leader still takes the old one for it until it hears of the new one.
func (s *Server) handOver(ctx context.Context, to string, timeout time.Duration) (StepDown, error) {
	var past Status
	var changed error
	for followed := 0; ; followed++ {
		st, err := s.awaitLeader(ctx, past)
		if err != nil {
			return StepDown{}, cmp.Or(changed, err)
		}
		if err := checkTarget(st, to); err != nil {
			return StepDown{}, err
		}
		result, err := s.node.StepDown(ctx, to, timeout)
		var refused *Error
		if !errors.As(err, &refused) || refused.Code != CodeNotLeader || followed == maxFollowed {
			result.Followed = followed
			return result, err
		}
		s.log.Info("the leader has changed before it was asked to step down", "asked", st.Leader, "term", st.Term)
		past, changed = st, err
	}
}

// awaitLeader returns when a leader is known, and another than that of past: by name, or by term.
func (s *Server) awaitLeader(ctx context.Context, past Status) (Status, error) {
	tick := time.NewTicker(followPoll)
	defer tick.Stop()
	for {
		st, err := s.status(ctx)
		if err == nil && st.Quorum.OK && st.Leader != "" && (st.Leader != past.Leader || st.Term > past.Term) {
			return st, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if err == nil {
				err = checkTarget(st, "")
			}
			return st, cmp.Or(err, context.Cause(ctx))
		}
	}
}

// checkTarget refuses what cannot succeed before anything is stopped.
func checkTarget(st Status, to string) error {
	if !st.Quorum.OK && st.Quorum.Total == 0 {
		return refusal(CodeNoQuorum, "start the other members, or ask one that is in the group: relayctl status says what this one waits for",
			"this member is part of no group yet")
	}
	if !st.Quorum.OK {
		return refusal(CodeNoQuorum, "bring the missing members back first: relayctl status names them",
			"no quorum: %d of %d voters heard, %d needed", st.Quorum.Have, st.Quorum.Total, st.Quorum.Need)
	}
	if to == "" {
		return nil
	}
	i := slices.IndexFunc(st.Members, func(m Member) bool { return m.Name == to })
	if i < 0 {
		names := make([]string, len(st.Members))
		for i, m := range st.Members {
			names[i] = m.Name
		}
		return refusal(CodeNotFound, "choose one of "+strings.Join(names, ", "), "no member is named %q", to)
	}
	switch st.Members[i].Role {
	case RoleLeader:
		return refusal(CodeRefused, "name another member, or none", "%s leads already", to)
	case RoleNonvoter, RoleUnreachable:
		return refusal(CodeRefused, "name a follower, or none: relayctl status lists them", "%s cannot lead now: it is %s", to, st.Members[i].Role)
	}
	return nil
}

// awaitQuiet returns when our round is over and the next is not about to begin.
func (s *Server) awaitQuiet(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.QuietWait, refusal(CodeRefused,
		"repeat with --now: planned hand-overs lose no block, they delay one at most",
		"no moment outside our rounds within %s", s.cfg.QuietWait))
	defer cancel()
	tick := time.NewTicker(quietPoll)
	defer tick.Stop()
	for {
		st, err := s.status(ctx)
		if err == nil && quiet(st) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for a quiet moment: %w", context.Cause(ctx))
		}
	}
}

// quiet reports whether a hand-over now would touch none of our slots. Without
// a known schedule there is nothing to wait for.
func quiet(st Status) bool {
	if st.Round != nil && st.Round.Live {
		return false
	}
	return st.NextRoundMS == nil || *st.NextRoundMS > quietMargin.Milliseconds()
}
