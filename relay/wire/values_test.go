package wire_test

import (
	"strings"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

func TestID(t *testing.T) {
	const hex = "0000010f2c19fe3d00112233445566778899aabbccddeeff0123456789abcdef"
	id, err := wire.ParseID(hex)
	if err != nil {
		t.Fatal(err)
	}
	if id.String() != hex || id.Num() != 271 || id.Short() != "2c19fe3d" || id.IsZero() {
		t.Errorf("%s: number %d, short %s, zero %v", id, id.Num(), id.Short(), id.IsZero())
	}
	for _, s := range []string{"", hex[1:], hex + "0", strings.Replace(hex, "f", "g", 1)} {
		if _, err := wire.ParseID(s); err == nil {
			t.Errorf("ParseID(%q): no error", s)
		}
	}
	if got := wire.StartID(271); got.Num() != 271 || got.String()[8:] != strings.Repeat("0", 56) {
		t.Errorf("StartID(271) = %s", got)
	}
}

func TestSlot(t *testing.T) {
	epoch := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		at   time.Time
		want wire.Slot
	}{
		{epoch, 0},
		{epoch.Add(499 * time.Millisecond), 0},
		{epoch.Add(500 * time.Millisecond), 1},
		{epoch.Add(-time.Hour), 0},
		{time.Date(2026, 11, 22, 12, 4, 6, 500e6, time.UTC), 1697328493},
	}
	for _, tt := range tests {
		if got := wire.SlotAt(tt.at); got != tt.want {
			t.Errorf("SlotAt(%v) = %d, want %d", tt.at, got, tt.want)
		}
	}
	if got := wire.Slot(1697328493).Time(); !got.Equal(tests[4].at) {
		t.Errorf("Time() = %v, want %v", got, tests[4].at)
	}
	if got := wire.SlotAt(wire.Slot(1<<32 - 1).Time()); got != 1<<32-1 {
		t.Errorf("the last slot comes back as %d", got)
	}
}

func TestVersions(t *testing.T) {
	for in, want := range map[uint16]int{
		0: 0, 1204: 0, 1205: 0, wire.Version1: 1, wire.Version9: 9, wire.Version11: 11, 1311: 106, 1312: 0, 65535: 0,
	} {
		if got := wire.DecodeVersion(in); got != want {
			t.Errorf("DecodeVersion(%d) = %d, want %d", in, got, want)
		}
	}
	for in, want := range map[int]uint16{0: 1214, 1: 1214, 2: 1214, 3: 1206, 5: 1206, 6: 1206, 7: 1214, 9: 1214, 11: 1214} {
		if got := wire.OfferVersion(in); got != want {
			t.Errorf("OfferVersion(%d) = %d, want %d", in, got, want)
		}
	}
}

func TestNamesOfThings(t *testing.T) {
	for want, got := range map[string]string{
		"handshake":          wire.TypeHandshake.String(),
		"vote":               wire.TypeVote.String(),
		"transaction_notice": wire.TypeTransactionNotice.String(),
		"type_14":            wire.Type(14).String(),
		"no_reason":          wire.GoAwayNone.String(),
		"authentication":     wire.GoAwayAuthentication.String(),
		"reason_12":          wire.GoAwayReason(12).String(),
		"reason_4294967295":  wire.GoAwayReason(1<<32 - 1).String(),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
