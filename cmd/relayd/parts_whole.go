//go:build !chaos

package main

// afflicted are the parts as they are. Built for chaos runs (parts_chaos.go),
// relayd has a disk and a clock that can be made to fail.
func afflicted(_ Config, p parts) parts { return p }
