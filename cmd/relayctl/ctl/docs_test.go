package ctl

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// commandLine is relayctl with its words, in code or in a comment.
var commandLine = regexp.MustCompile(`(?:^|[\s/` + "`" + `"(])relayctl((?: +(?:--)?[A-Za-z0-9_./:,=<\[][^\s` + "`" + `")|;#]*)+)`)

// plainWord is how a command is called, or two of them: init|issue.
var plainWord = regexp.MustCompile(`^[a-z][a-z|-]*$`)

// announced are commands that the documentation has and the program has not yet.
var announced []string

// TestDocsCommands finds every command line of relayctl in the documentation and the deployment files, and looks for its command and flags.
func TestDocsCommands(t *testing.T) {
	root := newApp(io.Discard, io.Discard).command()
	found := 0
	for _, file := range documents(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range commandLine.FindAllStringSubmatch(string(text), -1) {
			words := strings.Fields(line[1])
			if !strings.HasPrefix(words[0], "--") && !plainWord.MatchString(words[0]) || slices.Contains(announced, words[0]) {
				continue // a file's name, as in cp relayctl /usr/local/bin/
			}
			if problem := unknown(root, words); problem != "" {
				t.Errorf("%s: relayctl%s: %s", file, line[1], problem)
			}
			found++
		}
	}
	for _, name := range announced {
		if child(root, name) != nil {
			t.Errorf("%s is there: take it off the list", name)
		}
	}
	if found < 30 {
		t.Errorf("%d command lines found; where are the others?", found)
	}
	for _, wrong := range []string{"stats", "status --wach", "certs isue eu-1", "drill --count 5 --noww"} {
		if unknown(root, strings.Fields(wrong)) == "" {
			t.Errorf("relayctl %s is taken for a command line", wrong)
		}
	}
}

// unknown says what of a command line does not exist. Words of prose that follow a command are no arguments of it.
func unknown(root *cobra.Command, words []string) string {
	cmd := root
	var flags []string
	for i := 0; i < len(words); i++ {
		word := strings.Trim(words[i], "[],.…")
		if strings.HasPrefix(word, "--") {
			name, _, inline := strings.Cut(strings.TrimPrefix(word, "--"), "=")
			flags = append(flags, name)
			if f := root.PersistentFlags().Lookup(name); f != nil && f.Value.Type() != "bool" && !inline {
				i++ // its value
			}
			continue
		}
		if len(flags) > 0 && cmd != root || !cmd.HasSubCommands() {
			continue
		}
		// init|issue names two.
		var next *cobra.Command
		for name := range strings.SplitSeq(word, "|") {
			if next = child(cmd, name); next == nil && cmd == root {
				return "no command " + name
			}
		}
		if next == nil {
			if cmd.Runnable() && cmd.Name() != "certs" || i > 1 {
				continue
			}
			return "no command " + word
		}
		cmd = next
	}
	for _, name := range flags {
		if cmd.Flags().Lookup(name) == nil && cmd.InheritedFlags().Lookup(name) == nil && name != "help" {
			return "no flag --" + name
		}
	}
	return ""
}

func child(cmd *cobra.Command, name string) *cobra.Command {
	for _, c := range cmd.Commands() {
		if c.Name() == name {
			return c
		}
	}
	return nil
}

// documents are the pages and files an operator copies commands from.
func documents(t *testing.T) []string {
	t.Helper()
	files := []string{"../../../README.md"}
	for _, dir := range []string{"../../../docs", "../../../deploy"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !strings.HasSuffix(path, ".json") && !strings.HasSuffix(path, ".png") {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}
