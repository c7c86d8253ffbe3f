// Command relayctl shows and steers a group of relays: see package ctl.
package main

import (
	"os"

	"github.com/thinrelay/thinrelay/cmd/relayctl/ctl"
)

// version is stamped by the build: -ldflags "-X main.version=…".
var version = "dev"

func main() { os.Exit(ctl.Main(os.Args[1:], version)) }
