package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestCheckDataDir looks at what is in data_dir, and where it is not there yet, whether it can be made: run refuses both.
func TestCheckDataDir(t *testing.T) {
	const id = "aca376f206b8fc25a6ed44dbdc66547c36c6c33e3a119ffbeaef943642f0e906"
	for name, tt := range map[string]struct {
		pinned string
		env    []string
		want   string // the findings that are not ok, or a part of one that is
	}{
		"pinned":                   {pinned: id + "\n", want: "ok chain_id: learned from an upstream and pinned: " + id},
		"pinned badly":             {pinned: "aca3\n", want: "fail chain_id: read the pinned chain id in data/chain_id: "},
		"pinned badly, but named":  {pinned: "aca3\n", env: []string{"RELAY_CHAIN_ID=" + id}},
		"nothing pinned":           {},
		"it cannot be made at all": {env: []string{"RELAY_DATA_DIR=/proc/thinrelay"}, want: "warn data_dir: /proc/thinrelay does not exist, and this user cannot make it; make it and give it to the user that relayd runs as: "},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(tt.want, "/proc") && runtime.GOOS != "linux" {
				t.Skip("no folder that nobody can write to")
			}
			dir := groupDir(t, goodCert())
			if tt.pinned != "" {
				if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
					t.Fatal(err)
				}
				writeFile(t, dir, "data/chain_id", tt.pinned)
			}
			found := Check(filepath.Join(dir, "relay.yaml"), tt.env, checkTime)
			got := notOK(dir, found)
			for _, f := range found {
				if strings.HasPrefix(tt.want, "ok") && f.What == "chain_id" {
					got += string(f.Level) + " " + f.What + ": " + f.Text
				}
			}
			if !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, ".check-*")); left != nil {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// TestCheckIdentity: a data_dir that run refuses, since it is another member's or has lost its owner, is told by check, on whose word a
// service is started.
func TestCheckIdentity(t *testing.T) {
	for name, tt := range map[string]struct{ file, text, want string }{
		"another member's":    {"identity.json", `{"version":1,"node":"us-1","raft_id":"us-1-0a1b2c3d"}`, `it is that of "us-1", this node is "eu-1"`},
		"cut short":           {"identity.json", `{"version":1,`, "identity.json"},
		"a log without owner": {"raft.db", "log", "is missing beside a log"},
		"its own":             {"identity.json", `{"version":1,"node":"eu-1","raft_id":"eu-1-0a1b2c3d"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := groupDir(t, goodCert())
			if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
				t.Fatal(err)
			}
			writeFile(t, dir, filepath.Join("data", tt.file), tt.text)
			got := notOK(dir, Check(filepath.Join(dir, "relay.yaml"), nil, checkTime))
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) || tt.want != "" && !strings.HasPrefix(got, "fail data_dir: ") {
				t.Errorf("got:\n%s\nwant one about data_dir with:\n%s", got, tt.want)
			}
		})
	}
}

// TestClash sees through the ways to write one address.
func TestClash(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:9870", "localhost:9870", true},
		{"localhost:9870", "[::ffff:127.0.0.1]:9870", true},
		{"[0:0::1]:9870", "[::1]:9870", true},
		{"127.0.0.1:9870", "127.0.0.2:9870", false},
		{"localhost:9870", "localhost:9871", false},
		{"localhost:9870", "10.0.0.1:9870", false},
		{":9870", "localhost:9870", true},
	} {
		if got := clash(tt.a, tt.b); got != tt.want || clash(tt.b, tt.a) != tt.want {
			t.Errorf("%s and %s: got %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}
