package members_test

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thinrelay/thinrelay/cluster/members"
)

func TestParseKeys(t *testing.T) {
	a, b := members.NewKey(), members.NewKey()
	short := base64.StdEncoding.EncodeToString(make([]byte, 16))
	tests := []struct {
		name, file string
		keys       int
		want       string // in the error
	}{
		{"one", a + "\n", 1, ""},
		{"two, comments, no last newline", "# primary\n" + a + "\n\n  " + b + "\r\n# old\n" + short, 3, ""},
		{"empty", "\n# nothing\n", 0, "no key"},
		{"not base64", a + "\n" + b[:20] + "\n!" + b[21:], 0, "line 2"},
		{"wrong size", base64.StdEncoding.EncodeToString(make([]byte, 20)), 0, "line 1: 20 bytes"},
		{"twice", a + "\n" + a, 0, "line 2: the key is there twice"},
		{"many", strings.Repeat("#\n", 3) + many(17), 0, "line 20: more than 16"},
	}
	for _, tt := range tests {
		keys, err := members.ParseKeys([]byte(tt.file))
		if len(keys) != tt.keys || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %d keys, %v, want %d, %q", tt.name, len(keys), err, tt.keys, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), b[:10]) {
			t.Errorf("%s: the error shows a key: %v", tt.name, err)
		}
	}
	keys, _ := members.ParseKeys([]byte(b + "\n" + a))
	if got := base64.StdEncoding.EncodeToString(keys[0]); got != b {
		t.Errorf("primary key %s, want the first line", got)
	}
}

func many(n int) string {
	var out strings.Builder
	for range n {
		out.WriteString(members.NewKey() + "\n")
	}
	return out.String()
}

func TestWriteKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gossip.key")
	if err := members.WriteKeyFile(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v, want 0600", info.Mode(), err)
	}
	keys, err := members.LoadKeys(path)
	if err != nil || len(keys) != 1 || len(keys[0]) != 32 {
		t.Fatalf("keys %v, %v, want one of 32 bytes", keys, err)
	}
	if err := members.WriteKeyFile(path); !errors.Is(err, os.ErrExist) {
		t.Fatalf("second write: %v, want os.ErrExist", err)
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(members.NewKey() + "\n# c\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := members.ParseKeys(data)
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
	})
}
