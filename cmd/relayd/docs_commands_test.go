package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// daemonLine is a command line of relayd, in code or in a comment, or one for its container: its sub-commands, and the rest.
var daemonLine = regexp.MustCompile(`(?:^|[\s/` + "`" + `])(?:relayd|run --rm relay)((?: [a-z]+)+)((?: +-[^\n` + "`" + `|;)]*)?)`)

var flagName = regexp.MustCompile(`--([a-z-]+)`)

// TestDocsCommands finds every command line of relayd that has a flag in the documentation and the deployment files, and looks for both.
func TestDocsCommands(t *testing.T) {
	known := func(words []string, flags string) string {
		var help, errs strings.Builder
		args := append(append([]string{}, words...), "--help")
		if code := run(context.Background(), args, &help, &errs); code != 0 || !strings.Contains(help.String(), "relayd "+strings.Join(words, " ")) {
			return "no such command"
		}
		for _, name := range flagName.FindAllStringSubmatch(flags, -1) {
			if !strings.Contains(help.String(), "--"+name[1]) {
				return "no flag --" + name[1]
			}
		}
		return ""
	}
	found := 0
	eachDocument(t, func(path, text string) {
		for _, line := range daemonLine.FindAllStringSubmatch(text, -1) {
			if strings.TrimSpace(line[2]) == "" {
				continue // prose
			}
			found++
			words := strings.TrimPrefix(line[1], " relayd") // sudo -u relayd relayd check
			if problem := known(strings.Fields(words), line[2]); problem != "" {
				t.Errorf("%s: relayd%s%s: %s", path, line[1], line[2], problem)
			}
		}
	})
	if found < 12 {
		t.Errorf("%d command lines found; where are the others?", found)
	}
	if known([]string{"run"}, "--confg x") == "" || known([]string{"recovr"}, "") == "" {
		t.Error("a command line that does not exist is taken for one")
	}
}

// makeLine is a call of make: its target and first variable.
var makeLine = regexp.MustCompile("(?:^|`)make ([a-z0-9-]+)(?: ([A-Z0-9_]+)=)?")

// TestDocsMake finds every call of make in the documentation and the deployment files, in a line of code or in backquotes, and looks for its
// target and variable.
func TestDocsMake(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	eachDocument(t, func(path, text string) {
		code := false
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "```") {
				code = !code
			}
			for _, call := range makeLine.FindAllStringSubmatch(line, -1) {
				if !code && call[0][0] != '`' {
					continue // prose
				}
				found++
				if !strings.Contains(string(makefile), "\n"+call[1]+":") {
					t.Errorf("%s: make %s: no such target", path, call[1])
				}
				if call[2] != "" && !strings.Contains(string(makefile), "\n"+call[2]+" ?=") {
					t.Errorf("%s: make %s %s=: no such variable", path, call[1], call[2])
				}
			}
		}
	})
	if found < 20 {
		t.Errorf("%d calls of make found; where are the others?", found)
	}
}

// eachDocument goes through the pages and files that an operator copies commands from.
func eachDocument(t *testing.T, look func(path, text string)) {
	t.Helper()
	for _, dir := range []string{"../../README.md", "../../docs", "../../deploy"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, ".json") || strings.HasSuffix(path, ".png") {
				return err
			}
			text, err := os.ReadFile(path)
			if err == nil {
				look(path, string(text))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
