package control

import (
	"fmt"
	"net/http"
)

// Error is a refusal an operator can act on. The server sends it as JSON, the
// client returns it; a [Node] returns one to choose the code and the remedy.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"error"`
	Remedy  string `json:"remedy"`
}

// Error is the message with what to do next.
func (e *Error) Error() string {
	if e.Remedy == "" {
		return e.Message
	}
	return fmt.Sprintf("%s\n  next: %s", e.Message, e.Remedy)
}

// Code tells programs the kind of an [Error].
type Code string

const (
	CodeBadRequest   Code = "bad_request"
	CodeUnauthorized Code = "unauthorized" // no proof of the right to change state
	CodeForbidden    Code = "forbidden"    // a page of another origin, or a foreign Host
	CodeNotFound     Code = "not_found"
	CodeRefused      Code = "refused"    // the group will not do it now
	CodeNotLeader    Code = "not_leader" // the member asked does not lead, and nothing was done
	CodeTimeout      Code = "timeout"    // it was not done in time; the outcome is told by status
	CodeNoQuorum     Code = "no_quorum"  // nobody can decide
	CodeBusy         Code = "busy"       // a limit of this server
	CodeInternal     Code = "internal"
	CodeUnreachable  Code = "unreachable" // said by the client: no answer at all
)

var httpStatus = map[Code]int{
	CodeBadRequest:   http.StatusBadRequest,
	CodeUnauthorized: http.StatusUnauthorized,
	CodeForbidden:    http.StatusForbidden,
	CodeNotFound:     http.StatusNotFound,
	CodeRefused:      http.StatusConflict,
	CodeNotLeader:    http.StatusConflict,
	CodeTimeout:      http.StatusGatewayTimeout,
	CodeNoQuorum:     http.StatusServiceUnavailable,
	CodeBusy:         http.StatusTooManyRequests,
	CodeInternal:     http.StatusInternalServerError,
}

func (c Code) httpStatus() int {
	if s, ok := httpStatus[c]; ok {
		return s
	}
	return http.StatusInternalServerError
}

func refusal(code Code, remedy, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Remedy: remedy}
}
