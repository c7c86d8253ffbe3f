package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"
)

const (
	defaultBlocks = 24  // two rounds
	maxBlocks     = 500 // per request
)

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	get := func(path string, h http.HandlerFunc) {
		mux.HandleFunc("GET "+path, h)
		mux.HandleFunc(path, notAllowed("GET, HEAD"))
	}
	post := func(path string, h http.HandlerFunc) {
		mux.HandleFunc("POST "+path, s.guarded(h))
		mux.HandleFunc(path, notAllowed("POST"))
	}
	get("/v1/status", s.getStatus)
	get("/v1/blocks", s.getBlocks)
	get("/v1/events", s.getEvents)
	get("/v1/members", s.getMembers)
	post("/v1/members/remove", s.postRemove)
	post("/v1/step-down", s.postStepDown)
	get("/healthz", s.getHealthz)
	get("/readyz", s.getReadyz)
	get("/{$}", s.page.serve)
	if s.cfg.Metrics != nil {
		get("/metrics", s.getMetrics)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, refusal(CodeNotFound, "see / for the page, /v1/status for the API", "no such resource"))
	})
	return secure(mux)
}

// secure sets what every answer carries and bounds its writing.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		extendWrite(w)
		if r.ContentLength != 0 { // the server waits for a body before it answers, also for one that nobody reads
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(headerTimeout))
		}
		next.ServeHTTP(w, r)
	})
}

// extendWrite gives the next write its time. Recorders of tests cannot; no harm.
func extendWrite(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
}

// guarded lets only those through who may change state.
func (s *Server) guarded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, err := s.access.allow(r)
		if err != nil {
			s.log.Warn("refused a state change", "path", r.URL.Path, "from", r.RemoteAddr, "reason", err.Message)
			writeError(w, err)
			return
		}
		s.log.Info("state change asked", "path", r.URL.Path, "from", r.RemoteAddr, "by", who)
		next(w, r)
	}
}

func notAllowed(methods string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", methods)
		writeJSON(w, http.StatusMethodNotAllowed, refusal(CodeBadRequest, "use "+methods, "%s is not allowed here", r.Method))
	}
}

func (s *Server) getStatus(w http.ResponseWriter, r *http.Request) {
	st, err := s.status(r.Context())
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, st)
}

// MemberList answers GET /v1/members.
type MemberList struct {
	Node    string    `json:"node"`
	Time    time.Time `json:"time"`
	Quorum  Quorum    `json:"quorum"`
	Members []Member  `json:"members"`
}

func (s *Server) getMembers(w http.ResponseWriter, r *http.Request) {
	st, err := s.status(r.Context())
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, MemberList{Node: st.Node, Time: st.Time, Quorum: st.Quorum, Members: st.Members})
}

func (s *Server) getBlocks(w http.ResponseWriter, r *http.Request) {
	limit, err := parseLimit(r.URL.Query().Get("limit"))
	if err != nil {
		writeError(w, err)
		return
	}
	blocks := s.node.Blocks(limit)
	if blocks == nil {
		blocks = []Block{}
	}
	writeJSON(w, http.StatusOK, blocks)
}

func parseLimit(text string) (int, error) {
	if text == "" {
		return defaultBlocks, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, refusal(CodeBadRequest, "use ?limit=24", "limit must be a number from 1 to %d", maxBlocks)
	}
	return min(n, maxBlocks), nil
}

// getHealthz says that the process is alive and answers; it asks nothing else,
// so that a lost quorum never makes an orchestrator restart members.
func (s *Server) getHealthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]bool{"alive": true})
}

// Readiness answers GET /readyz.
type Readiness struct {
	Ready   bool      `json:"ready"`
	Node    string    `json:"node"`
	Reasons []Problem `json:"reasons"`
}

func (s *Server) getReadyz(w http.ResponseWriter, r *http.Request) {
	st, err := s.status(r.Context())
	if err != nil {
		writeError(w, err)
		return
	}
	reasons := st.Unready()
	if len(reasons) == 0 {
		writeJSON(w, http.StatusOK, Readiness{Ready: true, Node: st.Node, Reasons: []Problem{}})
		return
	}
	writeJSON(w, http.StatusServiceUnavailable, Readiness{Node: st.Node, Reasons: reasons})
}

func (s *Server) getMetrics(w http.ResponseWriter, r *http.Request) {
	if st, err := s.status(r.Context()); err == nil {
		s.cfg.Metrics.scraped(len(st.Unready()) == 0, st.liveReplicas())
	} else {
		s.cfg.Metrics.scraped(false, 0)
	}
	s.cfg.Metrics.handler.ServeHTTP(w, r)
}

func (s *Server) postRemove(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Name string `json:"name"`
	}
	if err := readJSON(w, r, &req); err != nil {
		writeError(w, err)
		return
	}
	if req.Name == "" {
		writeError(w, refusal(CodeBadRequest, `send {"name": "us-1"}`, "name is empty"))
		return
	}
	membership, ok := s.node.(Membership)
	if !ok {
		writeError(w, refusal(CodeRefused, "change its configuration instead", "this relay cannot change its group at run time"))
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(removeTimeout + writeTimeout))
	ctx, cancel := context.WithTimeout(r.Context(), removeTimeout)
	defer cancel()
	if err := membership.RemoveMember(ctx, req.Name); err != nil {
		writeError(w, err)
		return
	}
	s.log.Info("member removed", "member", req.Name)
	writeJSON(w, http.StatusOK, map[string]string{"removed": req.Name})
}

// readJSON reads one JSON value of a declared type, and nothing after it.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	const example = `curl -H 'Content-Type: application/json' -d '{}' …`
	if ct, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || ct != "application/json" {
		return refusal(CodeBadRequest, "set Content-Type, as in "+example, "the body must be application/json")
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return refusal(CodeBadRequest, "send one JSON object, as in "+example, "body: %v", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return refusal(CodeBadRequest, "send one JSON object, as in "+example, "body: more than one value")
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // it has come: what secure set is over
	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // the reader went away; nobody is left to tell
}

func writeError(w http.ResponseWriter, err error) {
	var e *Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, context.DeadlineExceeded):
		e = refusal(CodeTimeout, "look at relayctl status, then try again", "not done in time: %v", err)
	default:
		e = refusal(CodeInternal, "read the relay's log", "%v", err)
	}
	writeJSON(w, e.Code.httpStatus(), e)
}
