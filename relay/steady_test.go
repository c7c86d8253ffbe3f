//go:build !race

package relay_test

import "testing"

// A block on its whole way, from a replica's socket to the upstream's and the
// siblings', makes nobody allocate, peers included: a fraction of one for what
// happens by the clock. The race detector empties the pools, so not under it.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	for _, size := range []int{1 << 10, 100 << 10} {
		r := testing.Benchmark(func(b *testing.B) { benchPath(b, size, 10) })
		if r.N == 0 {
			t.Fatal("the benchmark failed")
		}
		per := float64(r.MemAllocs) / float64(r.N)
		t.Logf("%d KB to 1 upstream and 9 replicas: %v, %.2f allocations a block", size>>10, r, per)
		if per >= 1 {
			t.Errorf("%.2f allocations per block of %d KB, want less than one", per, size>>10)
		}
	}
}
