//go:build !race

package gate_test

// racing: the race detector is off.
const racing = false
