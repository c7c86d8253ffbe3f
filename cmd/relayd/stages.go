package main

import (
	"context"
	"errors"
	"fmt"
)

// stage is a part of the daemon that runs until its context ends.
type stage struct {
	name string
	run  func(context.Context) error
}

// errStageEnded is the cause when a stage ends that should not.
var errStageEnded = errors.New("ended by itself")

// runStages starts the stages in order, waits until ctx ends or one of them
// does, and stops them in reverse order, each before the one that was started
// before it. It returns the error of the first that ended before it was to, nil when none did.
//
// Before stopping, leave is called: with every stage still running.
func runStages(ctx context.Context, leave func(), stages []stage) error {
	type end struct {
		index int
		err   error
	}
	base := context.WithoutCancel(ctx)
	ended := make(chan end, len(stages))
	cancels := make([]context.CancelFunc, len(stages))
	done := make([]chan struct{}, len(stages))
	for i, s := range stages {
		var own context.Context
		own, cancels[i] = context.WithCancel(base)
		done[i] = make(chan struct{})
		go func() {
			defer close(done[i])
			ended <- end{i, s.run(own)}
		}()
	}
	var first error
	failed := func(e end) {
		if first = e.err; first == nil {
			first = errStageEnded
		}
		first = fmt.Errorf("%s: %w", stages[e.index].name, first)
	}
	select {
	case <-ctx.Done():
		leave()
		select {
		case e := <-ended: // meanwhile: it was not to end yet
			failed(e)
		default:
		}
	case e := <-ended:
		failed(e)
	}
	for i := len(stages) - 1; i >= 0; i-- {
		cancels[i]()
		<-done[i]
	}
	return first
}
