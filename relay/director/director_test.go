package director_test

import (
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/wire"
	"pgregory.net/rapid"
)

var (
	a = director.Replica{ID: wire.ID{1}, Name: "nodeos-a", Fit: true}
	b = director.Replica{ID: wire.ID{2}, Name: "nodeos-b", Fit: true}
	c = director.Replica{ID: wire.ID{3}, Name: "nodeos-c", Fit: true}
)

func unfit(r director.Replica) director.Replica {
	r.Fit = false
	return r
}

func TestChoose(t *testing.T) {
	now := time.Now()
	d := director.New([]string{"nodeos-b"})
	steps := []struct {
		name     string
		late     bool // the active one was late before this
		after    time.Duration
		replicas []director.Replica
		want     wire.ID
		cause    director.Cause
	}{
		{"nobody", false, 0, nil, wire.ID{}, ""},
		{"the first, though not preferred", false, 0, []director.Replica{c, a}, a.ID, director.CauseFirst},
		{"a preferred one does not interrupt", false, 0, []director.Replica{a, b, c}, a.ID, ""},
		{"late: the preferred one", true, 0, []director.Replica{a, b, c}, b.ID, director.CauseLate},
		{"unfit: not the late one", false, time.Second, []director.Replica{a, unfit(b), c}, c.ID, director.CauseUnfit},
		{"gone: the late one is better than none", false, time.Second, []director.Replica{a}, a.ID, director.CauseGone},
		{"late, and alone: it stays", false, 0, []director.Replica{a, unfit(b)}, a.ID, ""},
		{"late, and another is fit", false, 0, []director.Replica{a, b}, b.ID, director.CauseLate},
		{"it was late long ago", false, time.Minute, []director.Replica{a, unfit(b), c}, a.ID, director.CauseUnfit},
		{"nobody is left", false, 0, []director.Replica{unfit(a), unfit(b)}, wire.ID{}, director.CauseNobody},
		{"still nobody", false, 0, []director.Replica{unfit(a)}, wire.ID{}, ""},
		{"by name without preference", false, 0, []director.Replica{c, a}, a.ID, director.CauseFirst},
	}
	for _, s := range steps {
		now = now.Add(s.after)
		if s.late {
			d.Late(now)
		}
		got, cause := d.Choose(s.replicas, now)
		if got != s.want || cause != s.cause || d.Active() != got {
			t.Fatalf("%s: Choose=%x, %q, want %x, %q", s.name, got[0], cause, s.want[0], s.cause)
		}
	}
}

func TestForgive(t *testing.T) {
	now := time.Now()
	d := director.New(nil)
	d.Adopt(a.ID)
	d.Late(now)
	d.Forgive(a.ID)
	if got, cause := d.Choose([]director.Replica{a, b}, now); got != a.ID || cause != "" {
		t.Fatalf("Choose=%x, %q, want the forgiven one to stay", got[0], cause)
	}
}

// Whoever is active is fit if anyone is, and changes only for a reason.
func TestChooseModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := []director.Replica{a, b, c}
		d := director.New([]string{"nodeos-c"})
		now := time.Unix(1e9, 0)
		lateAt := map[wire.ID]time.Time{}
		for range 30 {
			now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "seconds")) * time.Second)
			var list []director.Replica
			fit := map[wire.ID]bool{}
			for _, r := range all {
				if !rapid.Bool().Draw(t, "there") {
					continue
				}
				r.Fit = rapid.Bool().Draw(t, "fit")
				list, fit[r.ID] = append(list, r), r.Fit
			}
			if before := d.Active(); before != (wire.ID{}) && rapid.IntRange(0, 3).Draw(t, "late") == 0 {
				d.Late(now)
				lateAt[before] = now
			}
			late := func(id wire.ID) bool { at, ok := lateAt[id]; return ok && now.Sub(at) < 30*time.Second }
			anyFit, anyGood := false, false
			for id, ok := range fit {
				anyFit = anyFit || ok
				anyGood = anyGood || ok && !late(id)
			}
			before := d.Active()
			got, cause := d.Choose(list, now)
			switch {
			case anyFit && !fit[got]:
				t.Fatal("the active replica is not fit, and another is")
			case !anyFit && got != wire.ID{}:
				t.Fatal("an unfit replica is active")
			case anyGood && late(got):
				t.Fatal("a late replica is active, and another is fit")
			case fit[before] && !late(before) && got != before:
				t.Fatal("a replica that did its work was interrupted")
			case (got != before) != (cause != ""):
				t.Fatalf("changed=%v with cause %q", got != before, cause)
			}
		}
	})
}

// Who would take over is not the active replica, nor one that is unfit, and late ones come last.
func TestNext(t *testing.T) {
	now := time.Now()
	d := director.New([]string{"nodeos-a", "nodeos-b"})
	d.Adopt(b.ID)
	d.Late(now)
	d.Adopt(a.ID)
	for name, tc := range map[string]struct {
		replicas []director.Replica
		want     wire.ID
	}{
		"not the late one":                 {[]director.Replica{a, b, c}, c.ID},
		"the late one is better than none": {[]director.Replica{a, b, unfit(c)}, b.ID},
		"nobody":                           {[]director.Replica{a, unfit(b)}, wire.ID{}},
	} {
		if got := d.Next(tc.replicas, now); got != tc.want || d.Active() != a.ID {
			t.Errorf("%s: %v would take over from %v, want %v", name, got, d.Active(), tc.want)
		}
	}
}
