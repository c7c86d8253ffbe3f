package main

import (
	"os"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestDeployedConfigs reads the configurations that deploy/ holds as relayd would: that of one region, and the environments of the three relays
// of compose.yaml.
func TestDeployedConfigs(t *testing.T) {
	region, err := os.ReadFile("../../deploy/region/relay.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseConfig("relay.yaml", "/etc/relayd", region, nil); err != nil {
		t.Errorf("deploy/region/relay.yaml: %v", err)
	}
	text, err := os.ReadFile("../../deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct {
			Command     []string          `yaml:"command"`
			Environment map[string]string `yaml:"environment"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal(text, &compose); err != nil {
		t.Fatal(err)
	}
	relays := 0
	for name, service := range compose.Services {
		if len(service.Command) == 0 || service.Command[0] != "run" {
			continue
		}
		relays++
		var environ []string
		for k, v := range service.Environment {
			environ = append(environ, k+"="+v)
		}
		c, err := parseConfig("null", "/dev", nil, environ)
		if err != nil {
			t.Errorf("%s of deploy/compose.yaml: %v", name, err)
			continue
		}
		if c.Node != name || len(c.Cluster.Join) != 2 {
			t.Errorf("%s of deploy/compose.yaml is node %q and joins %v", name, c.Node, c.Cluster.Join)
		}
	}
	if relays != 3 {
		t.Errorf("%d relays in deploy/compose.yaml, want 3", relays)
	}
}
