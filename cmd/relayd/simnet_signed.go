package main

import (
	"sync"

	"github.com/thinrelay/thinrelay/relay/simnet"
)

// signed counts what a simulated replica has signed.
type signed struct {
	mu     sync.Mutex
	blocks int
	paused bool
}

// signedReport is a replica's report.
type signedReport struct {
	Name      string `json:"name"`
	Signed    int    `json:"signed"`
	Paused    bool   `json:"paused"`
	Head      uint32 `json:"head"`
	Root      uint32 `json:"root"`
	Connected int    `json:"connected"`
}

func (s *signed) watch(e simnet.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e.Kind {
	case simnet.Produced:
		s.blocks++
	case simnet.Paused:
		s.paused = true
	case simnet.Resumed:
		s.paused = false
	default:
	}
}

func (s *signed) report(n *simnet.Node) signedReport {
	s.mu.Lock()
	r := signedReport{Name: n.Name(), Signed: s.blocks, Paused: s.paused}
	s.mu.Unlock()
	if v, ok := n.View(); ok {
		r.Head, r.Root, r.Connected = v.Head.Num(), v.Root.Num(), v.Connected
	}
	return r
}
