//go:build !race

package relay_test

import (
	"flag"
	"testing"
)

// A block on its whole way, from a replica's socket to the upstream's and the
// siblings', makes nobody allocate, peers included: a fraction of one for what
// happens by the clock. The race detector empties the pools, so not under it.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	rounds := flag.Lookup("test.benchtime").Value
	defer rounds.Set(rounds.String())
	if err := rounds.Set("4000x"); err != nil {
		t.Fatal(err)
	}
	r := testing.Benchmark(func(b *testing.B) { benchPath(b, 1<<10, 10) })
	if r.N == 0 {
		t.Fatal("the benchmark failed")
	}
	per := float64(r.MemAllocs) / float64(r.N)
	t.Logf("1 KB to 1 upstream and 9 replicas: %v, %.2f allocations a block", r, per)
	if per >= 1 {
		t.Errorf("%.2f allocations per block, want less than one", per)
	}
}
