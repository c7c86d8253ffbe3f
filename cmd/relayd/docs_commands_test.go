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

// daemonLine is a command line of relayd, in code or in a comment: its sub-commands, and the rest.
var daemonLine = regexp.MustCompile(`(?:^|[\s/` + "`" + `])relayd((?: [a-z]+)+)((?: +-[^\n` + "`" + `|;)]*)?)`)

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
	for _, dir := range []string{"../../README.md", "../../docs", "../../deploy"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, ".json") || strings.HasSuffix(path, ".png") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, line := range daemonLine.FindAllStringSubmatch(string(text), -1) {
				if strings.TrimSpace(line[2]) == "" {
					continue // prose
				}
				found++
				words := strings.TrimPrefix(line[1], " relayd") // sudo -u relayd relayd check
				if problem := known(strings.Fields(words), line[2]); problem != "" {
					t.Errorf("%s: relayd%s%s: %s", path, line[1], line[2], problem)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 5 {
		t.Errorf("%d command lines found; where are the others?", found)
	}
	if known([]string{"run"}, "--confg x") == "" || known([]string{"recovr"}, "") == "" {
		t.Error("a command line that does not exist is taken for one")
	}
}
