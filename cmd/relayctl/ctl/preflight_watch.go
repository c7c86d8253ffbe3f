package ctl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

// sighting is what was seen while listening to the members.
type sighting struct {
	span time.Duration // 0: nobody listened
	ours bool          // a block of ours left meanwhile
	err  error
}

// watch listens to the members asked, since any of them may come to lead, adds what it heard to their status, which it asks
// for once more, and puts the leader's first.
func (p *preflight) watch(ctx context.Context, views []view) {
	if p.watchFor == 0 || len(views) == 0 {
		return
	}
	if !p.app.asJSON {
		var names []string
		for _, v := range views {
			names = append(names, clean(v.status.Node))
		}
		fmt.Fprintf(p.app.errs, "listening to %s for %s\n", strings.Join(names, ", "), p.watchFor)
	}
	told := make([]heard, len(views))
	var wg sync.WaitGroup
	for i := range views {
		wg.Go(func() { told[i] = listen(ctx, views[i].client, p.watchFor) })
	}
	wg.Wait()
	var events []control.Event
	p.seen.span = p.watchFor
	for _, h := range told {
		events = append(events, h.events...)
		p.seen.ours = p.seen.ours || h.ours
		p.seen.err = errors.Join(p.seen.err, h.err)
	}
	for i := range views {
		st, err := statusOf(ctx, views[i].client)
		if err != nil {
			p.seen.err = errors.Join(p.seen.err, err)
			continue
		}
		for _, e := range events {
			if !slices.ContainsFunc(st.Events, func(o control.Event) bool { return same(e, o) }) {
				st.Events = append(st.Events, e)
			}
		}
		views[i].status = st
	}
	sortViews(views)
}

// lookAgain asks once more, a little later, where no replica is active: after a hand-over the next leader picks one within a second.
func (p *preflight) lookAgain(ctx context.Context, views []view) {
	if len(views) == 0 || !slices.ContainsFunc(views[0].status.Problems, func(q control.Problem) bool { return q.Code == "no_active" }) {
		return
	}
	if pause(ctx, 8*p.app.pollEvery) != nil {
		return // the caller sees that it was interrupted
	}
	for i := range views {
		if st, err := statusOf(ctx, views[i].client); err == nil {
			views[i].status = st
		}
	}
	sortViews(views)
}

// heard is what one member told.
type heard struct {
	events []control.Event
	ours   bool
	err    error
}

func listen(ctx context.Context, client *control.Client, span time.Duration) (h heard) {
	ctx, cancel := context.WithTimeout(ctx, span)
	defer cancel()
	err := client.Events(ctx, "", func(e control.Event) error {
		switch {
		case e.Kind == control.KindForwarded:
			h.ours = true
		case len(h.events) < maxWatched:
			h.events = append(h.events, e)
		}
		return nil
	})
	if ctx.Err() == nil {
		h.err = err
	}
	return h
}

// maxWatched bounds what a member can make us remember.
const maxWatched = 4096

// same reports whether two events, of the stream and of a status, are one.
func same(a, b control.Event) bool {
	return a.Kind == b.Kind && a.Time.Equal(b.Time) && a.Source == b.Source && a.BlockID == b.BlockID
}
