package control

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	heartbeatEvery = 5 * time.Second        // a comment, so that both ends notice a dead connection
	statusEvery    = time.Second            // with ?status=1
	statusSoonest  = 100 * time.Millisecond // after an event; bounds what a burst costs
)

// getEvents streams events as server-sent events named by their kind. With
// ?status=1 a "status" event carries the whole status at the start, each second,
// and right after other events. A reader that falls too far behind gets a last
// event "dropped" and is disconnected.
func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) {
	if s.streams.Add(1) > maxSubscribers {
		s.streams.Add(-1)
		writeError(w, refusal(CodeBusy, "close another stream, or poll /v1/status", "%d event streams are open already", maxSubscribers))
		return
	}
	defer s.streams.Add(-1)

	ended := context.Background().Done() // never, without Run
	if ctx, ok := r.Context().Value(streamsKey{}).(context.Context); ok {
		ended = ctx.Done()
	}
	sub, missed := s.hub.subscribe(r.Header.Get("Last-Event-ID"))
	defer s.hub.unsubscribe(sub)

	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	out := stream{w: w, rc: http.NewResponseController(w)}
	out.raw("retry: 1000\n\n")
	for _, e := range missed {
		out.event(e)
	}

	var status <-chan time.Time
	var statusTimer *time.Timer
	var lastStatus time.Time
	if r.URL.Query().Get("status") == "1" {
		statusTimer = time.NewTimer(0)
		defer statusTimer.Stop()
		status = statusTimer.C
	}
	heartbeat := time.NewTicker(heartbeatEvery)
	defer heartbeat.Stop()

	for out.err == nil {
		out.flush()
		select {
		case e, ok := <-sub.events:
			if !ok {
				if sub.dropped {
					out.raw("event: dropped\ndata: {\"error\":\"this reader is too slow\"}\n\n")
					out.flush()
				}
				return
			}
			out.event(e)
			if statusTimer != nil {
				statusTimer.Reset(max(0, statusSoonest-time.Since(lastStatus)))
			}
		case <-status:
			if st, err := s.status(r.Context()); err == nil {
				out.json("status", "", st)
			}
			lastStatus = time.Now()
			statusTimer.Reset(statusEvery)
		case <-heartbeat.C:
			out.raw(": alive\n\n")
		case <-r.Context().Done():
			return
		case <-ended:
			return
		}
	}
}

// stream writes server-sent events and remembers the first error.
type stream struct {
	w   io.Writer
	rc  *http.ResponseController
	err error
}

func (s *stream) raw(text string) {
	if s.err == nil {
		_ = s.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, s.err = io.WriteString(s.w, text)
	}
}

func (s *stream) event(e Event) { s.json(string(e.Kind), e.ID, e) }

// json writes one event. Encoded JSON has no line break, so one data line holds it.
func (s *stream) json(name, id string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		s.err = err
		return
	}
	if id != "" {
		s.raw("id: " + id + "\n")
	}
	s.raw(fmt.Sprintf("event: %s\ndata: %s\n\n", name, data))
}

func (s *stream) flush() {
	if s.err == nil {
		s.err = s.rc.Flush()
	}
}
