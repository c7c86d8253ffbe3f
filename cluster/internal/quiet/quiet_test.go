package quiet_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/cluster/internal/quiet"
)

func TestOneLinePerKeyAndInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := quiet.New(time.Minute)
		check := func(key string, want bool, wantSkipped int) {
			t.Helper()
			if got, skipped := l.Allow(key); got != want || skipped != wantSkipped {
				t.Fatalf("Allow(%q) = %v, %d, want %v, %d", key, got, skipped, want, wantSkipped)
			}
		}
		check("a", true, 0)
		check("a", false, 0)
		check("a", false, 0)
		check("b", true, 0)
		time.Sleep(time.Minute)
		check("a", true, 2)
		check("a", false, 0)
	})
}

func TestFloodOfKeysIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := quiet.New(time.Minute)
		allowed := 0
		for i := range 100_000 {
			if ok, _ := l.Allow(strconv.Itoa(i)); ok {
				allowed++
			}
		}
		if want := 1025; allowed != want {
			t.Fatalf("%d lines in one minute, want %d", allowed, want)
		}
		time.Sleep(time.Minute)
		if ok, _ := l.Allow("new"); !ok {
			t.Fatal("a new key is refused a minute after the flood")
		}
	})
}
