package main

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

const exampleFile = "../../deploy/relay.example.yaml"

// minimal is the shortest valid configuration: a group of one.
const minimalConfig = "node: a\nproducers: [bpa]\nupstream: {peers: [\"seed:9876\"]}\ncluster: {bootstrap_expect: 1}\n"

func mustParse(t *testing.T, text string, environ ...string) Config {
	t.Helper()
	c, err := parseConfig("relay.yaml", "/etc/relayd", []byte(text), environ)
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	return c
}

func TestExampleIsValid(t *testing.T) {
	c, err := LoadConfig(exampleFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir, _ := filepath.Abs(filepath.Dir(exampleFile))
	if got, want := c.Cluster.TLS.Cert, filepath.Join(dir, "eu-1.pem"); got != want {
		t.Errorf("cluster.tls.cert = %s, want %s", got, want)
	}
	if got, want := c.Failover.LateAfter, 150*time.Millisecond; got != want {
		t.Errorf("failover.late_after = %s, want %s", got, want)
	}
	if c.Alone() {
		t.Error("the example is a group of three, yet Alone")
	}
}

// TestExampleListsEveryKey fails when a key is added to the code but not to the example. The other direction is the loader's
// refusal of unknown keys.
func TestExampleListsEveryKey(t *testing.T) {
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	l := loader{name: "relay.example.yaml", table: newKeyTable(&c), where: map[string]place{}}
	l.file(text)
	for _, path := range l.table.order {
		if _, ok := l.where[path]; !ok {
			t.Errorf("%s: is not in the example", path)
		}
	}
	// What the example shows is the default, except where a default would show nothing.
	shown := map[string]bool{
		"node": true, "region": true, "producers": true, "downstream.allow": true, "downstream.observers": true,
		"upstream.peers": true, "cluster.join": true, "cluster.bootstrap_expect": true, "cluster.tls.ca": true,
		"cluster.tls.cert": true, "cluster.tls.key": true, "cluster.gossip_key_file": true, "failover.prefer": true,
	}
	defaults := DefaultConfig()
	for i, k := range configKeys(&defaults) {
		got, want := configKeys(&c)[i].value, k.value
		if empty := got.Kind() == reflect.Slice && got.Len() == 0 && want.Len() == 0; empty || shown[k.path] {
			continue
		}
		if !reflect.DeepEqual(got.Interface(), want.Interface()) {
			t.Errorf("%s: the example shows %v, the default is %v", k.path, got, want)
		}
	}
}

// TestEnvOverridesEveryKey sets each key by its variable alone and expects that key, and no other, to change.
func TestEnvOverridesEveryKey(t *testing.T) {
	samples := map[string]string{
		"node": "us-9", "region": "us", "data_dir": "/data", "chain_id": strings.Repeat("ab", 32), "producers": "bpb,bpc",
		"downstream.listen": "10.0.0.1:1", "downstream.allow": "10.0.0.0/8, fd00::/8", "downstream.observers": "fin-2",
		"downstream.peer_keys": "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV",
		"upstream.peers":       "one:1,two:2", "upstream.peer_key_file": "/secret/peer",
		"cluster.listen": "10.0.0.1:2", "cluster.advertise": "relay.example", "cluster.gossip": "10.0.0.1:3", "cluster.join": "b:7946,c:7946",
		"cluster.bootstrap_expect": "5", "cluster.timeouts": "300ms", "cluster.tls.ca": "/tls/ca", "cluster.tls.cert": "/tls/cert",
		"cluster.tls.key": "/tls/key", "cluster.gossip_key_file": "/tls/gossip", "failover.mode": "passive", "failover.prefer": "one,two",
		"failover.late_after": "99ms", "failover.unresolved_after": "10s", "http.listen": "10.0.0.1:4", "http.token_file": "/secret/token",
		"http.tls.ca": "/http/ca", "http.tls.cert": "/http/cert", "http.tls.key": "/http/key", "log.level": "debug", "log.format": "json",
	}
	// A base with which each sample is valid on its own.
	base := strings.Join([]string{
		"node: a", "producers: [bpa]", "upstream: {peers: [\"seed:9876\"]}", "http: {tls: {cert: /c, key: /k}}",
		"cluster: {bootstrap_expect: 3, join: [\"x:7946\"], tls: {ca: /a, cert: /c, key: /k}, gossip_key_file: /g}", "",
	}, "\n")
	before := mustParse(t, base)
	names := map[string]string{}
	for i, k := range configKeys(&before) {
		sample, ok := samples[k.path]
		if !ok {
			t.Errorf("%s: no sample value; add one", k.path)
			continue
		}
		if other, taken := names[k.env]; taken {
			t.Errorf("%s and %s share the variable %s", k.path, other, k.env)
		}
		names[k.env] = k.path
		after := mustParse(t, base, "PATH=/bin", k.env+"="+sample)
		for j, got := range configKeys(&after) {
			changed := !reflect.DeepEqual(got.value.Interface(), configKeys(&before)[j].value.Interface())
			if want := i == j; changed != want {
				t.Errorf("%s=%s: %s changed %v, want %v", k.env, sample, got.path, changed, want)
			}
		}
	}
	if got, want := names["RELAY_FAILOVER_LATE_AFTER"], "failover.late_after"; got != want {
		t.Errorf("RELAY_FAILOVER_LATE_AFTER overrides %q, want %s", got, want)
	}
}

func TestEnvironment(t *testing.T) {
	c := mustParse(t, minimalConfig, "RELAY_ADDR=http://x", "RELAY_TOKEN_FILE=y", "RELAYED=1", "RELAY_FAILOVER_PREFER=", "RELAY_UPSTREAM_PEERS= one:1 , two:2")
	if got, want := strings.Join(c.Upstream.Peers, "|"), "one:1|two:2"; got != want {
		t.Errorf("upstream.peers = %s, want %s", got, want)
	}
	for env, want := range map[string]string{
		"RELAY_PORT=tcp://10.0.0.1":       "RELAY_PORT: this variable overrides no key",
		"RELAY_FAILOVER_LATE_AFTER=fast":  `RELAY_FAILOVER_LATE_AFTER: failover.late_after: "fast" is not a duration`,
		"RELAY_NODE=EU 1":                 `RELAY_NODE: node: "EU 1" cannot stand in a certificate`,
		"RELAY_DOWNSTREAM_ALLOW=10.1.2.3": `RELAY_DOWNSTREAM_ALLOW: downstream.allow[0]: "10.1.2.3" is an address, not a network; write 10.1.2.3/32`,
	} {
		_, err := parseConfig("relay.yaml", "/", []byte(minimalConfig), []string{env})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", env, err, want)
		}
	}
}

func TestDefaultsHoldWhereTheFileIsSilent(t *testing.T) {
	c := mustParse(t, minimalConfig+"failover:\nhttp: {listen: }\n")
	want := DefaultConfig()
	if !reflect.DeepEqual(c.Failover, want.Failover) || c.HTTP != want.HTTP || c.DataDir != want.DataDir {
		t.Errorf("got %+v, want the defaults of %+v", c, want)
	}
	if !c.Alone() {
		t.Error("a group of one without certificates is not Alone")
	}
	if _, set := c.Chain(); set {
		t.Error("a chain id is set, want none")
	}
}

func TestRelativePathsStartAtTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "relay.yaml")
	if err := os.WriteFile(path, []byte(minimalConfig+"data_dir: data\nhttp: {token_file: /run/token}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := LoadConfig(path, []string{"RELAY_UPSTREAM_PEER_KEY_FILE=keys/peer"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ got, want string }{
		{c.DataDir, filepath.Join(dir, "data")},
		{c.Upstream.PeerKeyFile, filepath.Join(dir, "keys/peer")},
		{c.HTTP.TokenFile, "/run/token"},
		{c.Cluster.TLS.CA, ""},
	} {
		if tt.got != tt.want {
			t.Errorf("path = %q, want %q", tt.got, tt.want)
		}
	}
}

func TestLoadConfigRefusesWhatIsNoConfiguration(t *testing.T) {
	if _, err := LoadConfig(filepath.Join(t.TempDir(), "none.yaml"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error = %v, want that the file does not exist", err)
	}
	large := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(large, make([]byte, maxConfigSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadConfig(large, nil); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("error = %v, want that the file is too large", err)
	}
}

// FuzzParseConfig feeds the loader any bytes as file and as environment: it must answer with a configuration or with mistakes.
func FuzzParseConfig(f *testing.F) {
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text, "RELAY_FAILOVER_LATE_AFTER=200ms")
	f.Add([]byte(minimalConfig), "RELAY_CLUSTER_JOIN=,,")
	f.Add([]byte("a: &x [*x]\n? [1]\n: 2\n<<: *x\n"), "RELAY_")
	f.Add([]byte("node: |\n  text\n---\nnode: !!int 3"), "=")
	files, _ := filepath.Glob("testdata/mistakes/*.yaml")
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil {
			f.Add(text, "RELAY_NODE=x")
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, env string) {
		c, err := parseConfig("relay.yaml", "/etc/relayd", text, []string{env})
		if err != nil {
			var mistakes *ConfigError
			if !errors.As(err, &mistakes) || len(mistakes.mistakes) == 0 {
				t.Fatalf("error %v holds no mistakes", err)
			}
			return
		}
		if again := validate(&c); len(again) > 0 {
			t.Fatalf("accepted, yet %v", again)
		}
	})
}
