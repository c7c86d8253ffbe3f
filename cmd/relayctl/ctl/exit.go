package ctl

import (
	"errors"
	"fmt"

	"github.com/thinrelay/thinrelay/relay/control"
)

// The exit codes.
const (
	exitOK       = 0
	exitDegraded = 1 // degraded, refused, or a wrong command line
	exitDown     = 2 // no quorum, or no answer
)

// exitError ends the program with a code; without an error everything has been
// said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// fail makes an error with an exit code. Its text says what to do next.
func fail(code int, format string, args ...any) error {
	return &exitError{code, fmt.Errorf(format, args...)}
}

func exitCode(err error) int {
	var e *exitError
	if errors.As(err, &e) {
		return e.code
	}
	var refused *control.Error
	if errors.As(err, &refused) && (refused.Code == control.CodeNoQuorum || refused.Code == control.CodeUnreachable) {
		return exitDown
	}
	return exitDegraded
}

// unheard takes a relay that cannot tell how it is, since its parts do not answer it, for one that does not answer: what was asked for is
// its state, not a change, so that there is nothing that it could have refused.
func unheard(err error) error {
	var e *control.Error
	if errors.As(err, &e) && (e.Code == control.CodeTimeout || e.Code == control.CodeInternal) {
		return &exitError{exitDown, err}
	}
	return err
}

// healthExit is the exit code that a status deserves.
func healthExit(st control.Status) int {
	switch {
	case !st.Quorum.OK || st.Leader == "":
		return exitDown
	case st.Health == control.HealthDegraded || st.Health == control.HealthDown:
		return exitDegraded
	}
	return exitOK
}
