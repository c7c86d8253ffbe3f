package control

import "testing"

// FuzzEventID reads what a browser or a stranger sends as Last-Event-ID.
func FuzzEventID(f *testing.F) {
	for _, s := range []string{"", "-", "1-2", "1--2", "-1-2", "99999999999999999999-1", "1-18446744073709551615"} {
		f.Add(s)
	}
	h := newHub(nil)
	for range 3 {
		h.publish(Event{Kind: KindAlarm})
	}
	f.Fuzz(func(t *testing.T, id string) {
		sub, missed := h.subscribe(id)
		h.unsubscribe(sub)
		if len(missed) > 3 {
			t.Errorf("%d events replayed of 3", len(missed))
		}
		if boot, seq, ok := parseEventID(id); ok && boot == h.boot && seq < 3 && len(missed) != int(3-seq) {
			t.Errorf("after %d: %d events replayed", seq, len(missed))
		}
	})
}

func TestHubReplaysInOrder(t *testing.T) {
	h := newHub(nil)
	for i := range 1000 { // far beyond what is kept
		kind := KindForwarded
		if i%3 == 0 {
			kind = KindRefused
		}
		h.publish(Event{Kind: kind, Num: uint32(i)})
	}
	missed := h.after(0)
	if len(missed) != 2*keptEvents {
		t.Fatalf("%d events kept, want %d", len(missed), 2*keptEvents)
	}
	for i := 1; i < len(missed); i++ {
		if missed[i].Num <= missed[i-1].Num {
			t.Fatalf("event %d after %d", missed[i].Num, missed[i-1].Num)
		}
	}
	if last := missed[len(missed)-1].Num; last != 999 {
		t.Errorf("the newest is %d, want 999", last)
	}
	if got := h.recent(3); len(got) != 3 || got[0].Num != 999 || got[1].Num != 996 {
		t.Errorf("recent %+v", got)
	}
}
