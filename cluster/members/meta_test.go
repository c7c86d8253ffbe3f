package members_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/thinrelay/thinrelay/cluster/members"
)

func full() members.Meta {
	return members.Meta{
		ClusterID: "0f9a-cluster", RaftID: "eu-1-7f3c", ClusterAddr: "10.0.0.1:8300", LinkAddr: "10.0.0.1:8301",
		HTTPAddr: "127.0.0.1:9870", Region: "eu", Version: "0.1.0", HasState: true, Joining: true, Joins: true, UpstreamReachable: true,
		Replicas: []string{"nodeos-a", "nodeos-b"},
	}
}

func TestMetaRoundTrip(t *testing.T) {
	for _, want := range []members.Meta{{}, full(), {ClusterAddr: "a:1", LinkAddr: "a:1"}, {LinkAddr: "only:1"}} {
		got, err := members.DecodeMeta(want.Encode(members.MaxMeta))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	got, err := members.DecodeMeta(members.Meta{ClusterAddr: "a:1"}.Encode(members.MaxMeta))
	if err != nil || got.LinkAddr != "a:1" {
		t.Errorf("link address %q, %v, want the cluster address when none is given", got.LinkAddr, err)
	}
}

func TestMetaCutsReplicasFirst(t *testing.T) {
	m := full()
	for range 100 {
		m.Replicas = append(m.Replicas, strings.Repeat("ü", 40))
	}
	b := m.Encode(members.MaxMeta)
	got, err := members.DecodeMeta(b)
	if err != nil || !got.Cut || len(b) > members.MaxMeta {
		t.Fatalf("%d bytes, cut %v, %v", len(b), got.Cut, err)
	}
	if n := len(got.Replicas); n < 10 || n > 20 || got.Replicas[0] != "nodeos-a" || got.Replicas[2] != strings.Repeat("ü", 16) {
		t.Errorf("replicas %q", got.Replicas)
	}
	got.Replicas, m.Replicas, got.Cut = nil, nil, false
	if !reflect.DeepEqual(got, m) {
		t.Errorf("got %+v, want all but the replicas", got)
	}
}

// Whatever is told, it is told whole: no limit makes an address or an id another one.
func TestMetaNeverTellsWrongAddresses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune("abc.:ü")), 0, 300, -1)
		m := members.Meta{
			ClusterID: text.Draw(t, "id"), RaftID: text.Draw(t, "raft"), ClusterAddr: text.Draw(t, "cluster"),
			LinkAddr: text.Draw(t, "link"), HTTPAddr: text.Draw(t, "http"), Region: text.Draw(t, "region"),
			Replicas: rapid.SliceOfN(text, 0, 5).Draw(t, "replicas"), HasState: rapid.Bool().Draw(t, "state"), Joining: rapid.Bool().Draw(t, "joining"), Joins: rapid.Bool().Draw(t, "joins"),
		}
		limit := rapid.IntRange(-1, 600).Draw(t, "limit")
		b := m.Encode(limit)
		if len(b) > max(limit, 0) || len(b) > members.MaxMeta {
			t.Fatalf("%d bytes, limit %d", len(b), limit)
		}
		if limit < 2 {
			return
		}
		got, err := members.DecodeMeta(b)
		if err != nil {
			t.Fatal(err)
		}
		whole := func(name, got, want string) {
			if got != "" && got != want {
				t.Fatalf("%s %q, want %q or nothing", name, got, want)
			}
			if got != want && !cut(b) {
				t.Fatalf("%s is left out and nothing says so", name)
			}
		}
		link := m.LinkAddr
		if link == "" {
			link = m.ClusterAddr
		}
		whole("cluster id", got.ClusterID, m.ClusterID)
		whole("raft id", got.RaftID, m.RaftID)
		whole("cluster address", got.ClusterAddr, m.ClusterAddr)
		whole("link address", got.LinkAddr, link)
		whole("HTTP address", got.HTTPAddr, m.HTTPAddr)
		if got.HasState != m.HasState || got.Joining != m.Joining || got.Joins != m.Joins {
			t.Fatal("a flag is lost")
		}
	})
}

func cut(b []byte) bool {
	m, err := members.DecodeMeta(b)
	return err == nil && m.Cut
}

func TestMetaFromOtherVersions(t *testing.T) {
	b := full().Encode(members.MaxMeta)
	newer := append(bytes.Clone(b), 200, 3, 'n', 'e', 'w')
	newer[1] |= 1 << 5
	if got, err := members.DecodeMeta(newer); err != nil || !reflect.DeepEqual(got, full()) {
		t.Errorf("with a field of the future: %+v, %v", got, err)
	}
	b[0] = 2
	for name, bad := range map[string][]byte{"version": b, "empty": {}, "cut field": newer[:len(newer)-1], "long": make([]byte, 513)} {
		if _, err := members.DecodeMeta(bad); !errors.Is(err, members.ErrMeta) {
			t.Errorf("%s: %v, want ErrMeta", name, err)
		}
	}
	evil := members.Meta{Region: "\x1b[2J\n", Version: "\xff"}
	if got, _ := members.DecodeMeta(evil.Encode(100)); got.Region != "?[2J?" || got.Version != "?" {
		t.Errorf("control characters pass: %q %q", got.Region, got.Version)
	}
}

func FuzzDecodeMeta(f *testing.F) {
	f.Add(full().Encode(512))
	f.Add([]byte{1, 0, 3, 200, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := members.DecodeMeta(b)
		if err != nil {
			return
		}
		if !utf8.ValidString(m.Region + m.ClusterAddr) {
			t.Fatal("invalid UTF-8")
		}
		again, err := members.DecodeMeta(m.Encode(members.MaxMeta))
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		if again.ClusterID != m.ClusterID && again.ClusterID != "" {
			t.Fatalf("cluster id %q, want %q", again.ClusterID, m.ClusterID)
		}
	})
}
