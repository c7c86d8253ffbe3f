package main

import (
	"errors"
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
			if got, err := c.AdvertiseAddr(); err != nil || got != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
	c := Config{Cluster: ClusterConfig{Listen: "0.0.0.0:8300"}}
	if got, err := c.AdvertiseAddr(); !errors.Is(err, ErrNoAdvertise) {
		t.Errorf("got %q, %v, want %v", got, err, ErrNoAdvertise)
	}
}
