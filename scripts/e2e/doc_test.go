//go:build e2e

// Package e2e_test breaks the three regions of deploy/compose.yaml on a real container engine, one part after another, and asks the simulated
// network what it has seen: no height with two blocks, no block that does not link, and no more slots lost than was promised.
//
// make e2e runs it; E2E=Faults/leader runs what matches, E2E_SHORT=1 leaves out what takes long, as CI does. It needs docker, compose and Linux
// (it reaches containers by their addresses). The table of faults, losses and takeovers is printed at its end and written to dist/e2e.md.
package e2e_test
