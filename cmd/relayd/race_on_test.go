//go:build race

package main

// groupSchedules is small under the race detector, which makes TLS ten times as dear.
const groupSchedules = 8
