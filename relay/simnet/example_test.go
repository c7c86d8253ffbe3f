package simnet_test

import (
	"fmt"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
)

// A network in real time over TCP, with a relay to be put between its upstreams
// and the replicas.
func Example() {
	w, err := simnet.New(simnet.Config{Load: 4, OnEvent: func(e simnet.Event) {
		if e.Kind == simnet.Produced {
			fmt.Println(e.Node, e.Block)
		}
	}})
	if err != nil {
		return
	}
	if err := w.Start(); err != nil {
		return
	}
	defer w.Close()

	// here the relay starts: it dials w.Addrs() and listens
	relay := []string{"127.0.0.1:9876"}

	if err := w.Finalizer(simnet.ReplicaConfig{Name: "fin-1", Relays: relay}).Start(); err != nil {
		return
	}
	for _, name := range []string{"nodeos-a", "nodeos-b", "nodeos-c"} {
		r, err := w.Replica(simnet.ReplicaConfig{Name: name, Relays: relay})
		if err != nil {
			return
		}
		if err := r.Start(); err != nil {
			return
		}
	}
	<-time.After(20 * time.Second)
	w.Oracle.Begin(w.Chain.Clock.SlotAt(time.Now()) + 1)
	<-time.After(time.Minute)
	r := w.Report()
	fmt.Println(r.SlotsOurs, r.Missed, r.Double, r.Unlinked)
}
