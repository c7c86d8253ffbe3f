package proctest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// bin is where relayd and relayctl are.
var bin string

// long asks for the numbers of runs that figures are taken from; most bounds
// them, when a number was asked for.
var (
	most, notANumber = strconv.Atoi(os.Getenv("THINRELAY_E2E"))
	long             = notANumber == nil || os.Getenv("THINRELAY_E2E") == "long"
)

// runs is how often a scenario is repeated.
func runs(short, full int) int {
	switch {
	case !long:
		return short
	case notANumber == nil:
		return min(most, full)
	}
	return full
}

func TestMain(m *testing.M) { os.Exit(built(m)) }

// built runs the tests with the commands built beforehand.
func built(m *testing.M) int {
	dir, err := os.MkdirTemp("", "proctest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", dir, "./cmd/relayd", "./cmd/relayctl")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n%s", build, err, out)
		return 1
	}
	bin = dir
	return m.Run()
}
