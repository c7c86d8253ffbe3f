package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	mdLink   = regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
	yamlPart = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	variable = regexp.MustCompile(`\bRELAY_[A-Z_]+\b`)
)

// TestDocs checks what the documentation says of files and of the configuration: links lead somewhere, configurations in README are
// valid, and variables exist.
func TestDocs(t *testing.T) {
	c := DefaultConfig()
	known := map[string]bool{}
	for _, k := range configKeys(&c) {
		known[k.env] = true
	}
	for _, file := range markdown(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range mdLink.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(link[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), link[1])); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", file, link[1])
			}
		}
		for _, name := range variable.FindAllString(string(text), -1) {
			if !known[name] && !relayctlEnv[name] {
				t.Errorf("%s: no variable is called %s", file, name)
			}
		}
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := yamlPart.FindAllStringSubmatch(string(readme), -1)
	if len(parts) == 0 {
		t.Error("README shows no configuration")
	}
	for _, part := range parts {
		if _, err := parseConfig("README.md", "/etc/relayd", []byte(part[1]), nil); err != nil {
			t.Errorf("a configuration in README is not valid:\n%v", err)
		}
	}
}

// markdown is every page of documentation.
func markdown(t *testing.T) []string {
	t.Helper()
	files := []string{"../../README.md"}
	for _, root := range []string{"../../docs", "../../deploy"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if strings.HasSuffix(path, ".md") {
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
