package main

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// What a daemon ends with is the error of the stage that ended before it was to: while all is well, or while the daemon
// waits with its stop for the end of our round. Stages end in reverse order.
func TestStagesEnd(t *testing.T) {
	broken := errors.New("broken")
	for _, tc := range []struct {
		name  string
		fails time.Duration // when the second stage ends
		err   error         // with what
		want  error
	}{
		{"a stop", time.Hour, nil, nil},
		{"one fails", time.Second, broken, broken},
		{"one ends by itself", time.Second, nil, errStageEnded},
		{"one fails while the stop waits", 7 * time.Second, broken, broken},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var order []string
				until := func(name string, own time.Duration, err error) stage {
					return stage{name, func(ctx context.Context) error {
						defer func() { order = append(order, name) }()
						select {
						case <-time.After(own):
							return err
						case <-ctx.Done():
							return ctx.Err()
						}
					}}
				}
				ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
				defer stop()
				got := runStages(ctx, func() { time.Sleep(5 * time.Second) }, []stage{ // fake time
					until("first", time.Hour, nil), until("second", tc.fails, tc.err), until("third", time.Hour, nil),
				})
				if !errors.Is(got, tc.want) || tc.want == nil && got != nil {
					t.Errorf("ended with %v, want %v", got, tc.want)
				}
				if tc.fails == time.Hour && !slices.Equal(order, []string{"third", "second", "first"}) {
					t.Errorf("ended in the order %v", order)
				}
			})
		})
	}
}
