//go:build race

package wire

// raceEnabled turns poisoning on: see PoisonReleased.
const raceEnabled = true
