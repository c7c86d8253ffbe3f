// Command relayd is the relay daemon.
package main

import (
	"fmt"
	"os"
)

// version is stamped by the linker.
var version = "dev"

func main() {
	fmt.Fprintln(os.Stdout, "relayd", version)
}
