//go:build race

package relay_test

// raceEnabled: the race detector makes everything ten times slower, and the
// same code runs in fewer repetitions.
const raceEnabled = true
