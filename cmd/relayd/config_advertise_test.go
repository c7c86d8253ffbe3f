package main

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

func TestAdvertiseAddr(t *testing.T) {
	for _, tt := range []struct {
		name, advertise, listen string
		join                    []string
		want                    string
	}{
		{"host and port", "eu.example:83", "0.0.0.0:8300", nil, "eu.example:83"},
		{"host", "eu.example", "0.0.0.0:8300", nil, "eu.example:8300"},
		{"IPv6", "[2001:db8::1]", "[::]:8300", nil, "[2001:db8::1]:8300"},
		{"listen", "", "10.0.0.1:8300", []string{"127.0.0.1:7946"}, "10.0.0.1:8300"},
		{"route", "", "0.0.0.0:8300", []string{"127.0.0.1:7946"}, "127.0.0.1:8300"},
		{"route to the second", "", ":8300", []string{"127.0.0.1:99999", "127.0.0.1:7946"}, "127.0.0.1:8300"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Config{Cluster: ClusterConfig{Advertise: tt.advertise, Listen: tt.listen, Join: tt.join}}
			if got, err := c.AdvertiseAddr(t.Context()); err != nil || got != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
	c := Config{Cluster: ClusterConfig{Listen: "0.0.0.0:8300"}}
	if got, err := c.AdvertiseAddr(t.Context()); !errors.Is(err, ErrNoAdvertise) {
		t.Errorf("got %q, %v, want %v", got, err, ErrNoAdvertise)
	}
}

// TestNothingToAdvertise refuses a configuration with which relayd would not start: a relay that others join, or one that gets ready for a
// second one, and neither says nor can find out where it is reached.
func TestNothingToAdvertise(t *testing.T) {
	const lacks = "cluster.advertise: is not set"
	dir := groupDir(t, goodCert())
	for expect, join := range map[string]string{"3": `["us-1:7946", "ap-1:7946"]`, "1": "", "5": ""} {
		environ := []string{"RELAY_CLUSTER_BOOTSTRAP_EXPECT=" + expect}
		if join == "" {
			environ = append(environ, "RELAY_CLUSTER_JOIN=")
		}
		got := notOK(dir, Check(filepath.Join(dir, "relay.yaml"), environ, checkTime))
		if want := join == ""; strings.Contains(got, lacks) != want {
			t.Errorf("%s members expected, join %q: %q is said: %v, want %v; all:\n%s", expect, join, lacks, !want, want, got)
		}
		for _, tells := range []string{"RELAY_CLUSTER_ADVERTISE=192.0.2.1", "RELAY_CLUSTER_LISTEN=192.0.2.1:8300"} {
			if got := notOK(dir, Check(filepath.Join(dir, "relay.yaml"), append(environ, tells), checkTime)); strings.Contains(got, lacks) {
				t.Errorf("with %s:\n%s", tells, got)
			}
		}
	}
	mustParse(t, minimalConfig) // one that is alone needs no address
}

// TestAPIAddr tells other members an address that somebody can ask: not 0.0.0.0.
func TestAPIAddr(t *testing.T) {
	for _, tt := range []struct{ listen, advertise, want string }{
		{"0.0.0.0:9870", "eu-1.between:8300", "eu-1.between:9870"},
		{":9870", "192.0.2.1:8300", "192.0.2.1:9870"},
		{"[::]:9870", "[2001:db8::1]:8300", "[2001:db8::1]:9870"},
		{"127.0.0.1:9870", "192.0.2.1:8300", "127.0.0.1:9870"},
		{"10.0.0.5:9870", "192.0.2.1:8300", "10.0.0.5:9870"},
		{"0.0.0.0:9870", loneAddr, "0.0.0.0:9870"},
		{"", "192.0.2.1:8300", ""}, // no API: a demo
	} {
		if got := (Config{HTTP: HTTPConfig{Listen: tt.listen}}).APIAddr(tt.advertise); got != tt.want {
			t.Errorf("%s at %s: got %q, want %q", tt.listen, tt.advertise, got, tt.want)
		}
	}
}

// TestReachedFromHereAlone warns of a member that the others cannot reach: it starts, finds nobody, and nothing says why.
func TestReachedFromHereAlone(t *testing.T) {
	dir := groupDir(t, goodCert())
	for environ, want := range map[string]string{
		"RELAY_CLUSTER_LISTEN=127.0.0.1:8300":                                                  "warn cluster.listen: 127.0.0.1:8300 is reached from this host alone",
		"RELAY_CLUSTER_GOSSIP=[::1]:7946":                                                      "warn cluster.gossip: [::1]:7946 is reached from this host alone",
		"RELAY_CLUSTER_ADVERTISE=localhost":                                                    "warn cluster.advertise: localhost is reached from this host alone",
		"RELAY_CLUSTER_ADVERTISE=192.0.2.1":                                                    "",
		"RELAY_CLUSTER_LISTEN=192.0.2.1:8300":                                                  "",
		"RELAY_CLUSTER_LISTEN=127.0.0.1:8300 RELAY_CLUSTER_JOIN=127.0.0.1:7947,localhost:7948": "",
	} {
		got := notOK(dir, Check(filepath.Join(dir, "relay.yaml"), strings.Fields(environ), checkTime))
		if want == "" && got != "" || !strings.HasPrefix(got, want) || strings.Count(got, "\n") > 0 {
			t.Errorf("%s: got\n%s\nwant %q", environ, got, want)
		}
	}
}
